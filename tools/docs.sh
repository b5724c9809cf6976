#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors
#
# Writes what the docs have from the program itself: docs/api.md from the route table, the flag tables of the other
# pages from the option tables.
#
#   sh tools/docs.sh [BINARY]           write them
#   sh tools/docs.sh --check [BINARY]   fail if they are not as the program says
set -eu

check=
if [ "${1:-}" = --check ]; then
	check=1
	shift
fi
root=$(cd "$(dirname "$0")/.." && pwd)
binary=${1:-$root/build/release/capstan}
new=$(mktemp -d)
trap 'rm -rf "$new"' EXIT

api() {
	cat <<'END'
# API

This page is written by `sh tools/docs.sh` from the route table (`src/http/routes.def`, `src/http/absent.def`); a test holds it to that.
First what is served; [at the end](#all-routes-of-mlflow-by-class) all routes of MLflow by class, with what they answer here.

Paths are MLflow 3.17.2's. Those without a leading `/` are served below `/api/` and `/ajax-api/` alike, unless a row says otherwise.
`name:type` lists the fields of a request or reply; `!` marks the required ones, `=` another accepted name of the field before
it, braces the fields of an object or of each element of a list. `{name}` in a path is that field of the request.

* Errors are `{"error_code", "message", "sqlstate", "error_class"}` with MLflow's codes and HTTP statuses.
* int64 values are JSON numbers in replies, and numbers or decimal strings in requests. `NaN` is the string `"NaN"`.
* Fields that are absent are left out of replies.
* What is not part of Capstan answers 501 `NOT_IMPLEMENTED` and names the feature. MLflow's clients go on without it: a traced call costs one
  warning, training and loading none.
* There is one workspace, `default`. With `--enable-workspaces` the header `X-MLFLOW-WORKSPACE` and the workspace routes answer as MLflow's do for
  it, but nothing about it can be changed; without, they are refused as MLflow refuses them. Artifacts stay where they are: not below `workspaces/`.
* `GET /` is a page of text until there is a web UI. GraphQL has no other client than MLflow's own web UI, which asks it four queries (a run, runs,
  an experiment, metric histories): each is a REST route too.
* The kind says where a request runs: `route` in a worker with a database connection, `read` in a read and `write` in a commit that those waiting at
  the same moment share, `stream` through the transfer engine (`stream_db`: after a look into the database), `inline` from memory, `blocking` in a
  worker without a connection.
END
	"$binary" routes | awk -F '\t' '
	NR == 1 || $4 == "absent" { next }
	{
		group = $3
		if (group ~ /users|roles|signup/) group = "Users and roles"
		else if (group ~ /webhooks/) group = "Webhooks"
		else if (group ~ /registered-models|model-versions/) group = "Model registry"
		else if (group ~ /workspaces/) group = "Workspaces"
		else if ($2 == "root" || group ~ /server-info/) group = "Service and files"
		else if (group ~ /mlflow-artifacts/) group = "Artifact proxy"
		else if (group ~ /logged-models/) group = "Logged models"
		else if (group ~ /artifact/) group = "Artifacts of runs"
		else if (group ~ /experiments/) group = "Experiments"
		else if (group ~ /metrics/) group = "Metric history"
		else group = "Runs"
		if (group != last) printf "\n## %s\n", group
		last = group
		path = $2 == "root" ? $3 : $2 == "ajax-api" ? "/ajax-api/" $3 : $3
		printf "\n### %s %s\n\n", $1, path
		printf "Needs `%s`; kind `%s`.\n", $8, $4
		if ($6 != "") printf "\n* request: `%s`\n", $6
		else if ($4 == "route" || $4 == "read" || $4 == "write") printf "\n* request: nothing\n"
		if ($7 != "") printf "* reply: `%s`\n", $7
		else if ($4 == "route" || $4 == "read" || $4 == "write") printf "* reply: `{}`\n"
	}'
	classes
}

# Each route of MLflow with the row of ours that takes it.
classes() {
	printf '\n## All routes of MLflow by class\n'
	"$binary" routes | awk -F '\t' '
	BEGIN {
		about["classic"] = "what clients for training, artifacts and the registry call"
		about["classic-ui"] = "what MLflow\047s web UI alone calls for the same"
		about["genai"] = "traces, evaluation, gateway and the like"
		about["not-needed"] = "what MLflow registers and does not implement"
		about["optional"] = "workspaces"
		about["ui-only"] = "what the web UI tells its makers"
	}
	NR == FNR {
		if (FNR == 1) next
		n++
		at = $3
		gsub(/\./, "\\.", at)
		sub(/\{(artifact_)?path\}$/, ".+", at)
		gsub(/\{[a-z_]+\}/, "[^/]+", at)
		fits[n] = "^" at "$"; method[n] = $1; mounts[n] = $2; answer[n] = $4 == "absent" ? "501: " $9 : "served"
		next
	}
	FNR == 1 { next }
	{
		path = $2; where = "root"
		if (sub(/^\/\{api,ajax-api\}\//, "", path)) where = "api,ajax-api"
		else if (sub(/^\/ajax-api\//, "", path)) where = "ajax-api"
		like = path
		gsub(/\{[a-z_]+\}/, "x", like)
		found = "404"
		for (i = 1; i <= n && found == "404"; i++)
			if (method[i] == $1 && (mounts[i] == where || (where == "ajax-api" && mounts[i] == "api,ajax-api")) && like ~ fits[i])
				found = answer[i]
		if ($3 != class) printf "\n### Class %s: %s\n\n| route | here |\n|---|---|\n", $3, about[$3]
		class = $3
		printf "| `%s %s` | %s |\n", $1, where == "ajax-api" ? "/ajax-api/" path : path, found
	}' - "$root/tests/api/endpoints.tsv"
}

# Replaces what stands between the marks <!-- flags VERB --> and <!-- end -->.
flags() {
	while IFS= read -r line; do
		case $line in
		'<!-- flags '*)
			printf '%s\n' "$line"
			verb=${line#<!-- flags }
			"$binary" "${verb% -->}" --help-markdown
			while IFS= read -r line && [ "$line" != '<!-- end -->' ]; do :; done
			;;
		esac
		printf '%s\n' "$line"
	done <"$root/docs/$1.md"
}

api >"$new/api.md"
for page in operations import promote; do
	flags "$page" >"$new/$page.md"
done
for page in api operations import promote; do
	if [ -n "$check" ]; then
		diff -u "$root/docs/$page.md" "$new/$page.md" || {
			echo "docs/$page.md is not as the program says: run sh tools/docs.sh" >&2
			exit 1
		}
	else
		cp "$new/$page.md" "$root/docs/$page.md"
	fi
done
