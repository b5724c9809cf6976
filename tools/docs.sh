#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors
#
# Writes what the docs have from the program itself: docs/api.md from the route table, the flag tables of
# docs/operations.md from the option tables.
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

This page is written by `sh tools/docs.sh` from the route table (`src/http/routes.def`); a test holds it to that.

Paths are MLflow 3.17.2's. Those without a leading `/` are served below `/api/` and `/ajax-api/` alike, unless a row says otherwise.
`name:type` lists the fields of a request or reply; `!` marks the required ones, `=` another accepted name of the field before
it, braces the fields of an object or of each element of a list. `{name}` in a path is that field of the request.

* Errors are `{"error_code", "message", "sqlstate", "error_class"}` with MLflow's codes and HTTP statuses.
* int64 values are JSON numbers in replies, and numbers or decimal strings in requests. `NaN` is the string `"NaN"`.
* Fields that are absent are left out of replies.
* The kind says where a request runs: `route` in a worker with a database connection, `write` in a shared commit, `stream` through the transfer
  engine (`stream_db`: after a look into the database), `inline` from memory, `blocking` in a worker without one.
END
	"$binary" routes | awk -F '\t' '
	NR == 1 { next }
	{
		group = $3
		if ($2 == "root" || group ~ /server-info/) group = "Service and files"
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
		else if ($4 == "route" || $4 == "write") printf "\n* request: nothing\n"
		if ($7 != "") printf "* reply: `%s`\n", $7
		else if ($4 == "route" || $4 == "write") printf "* reply: `{}`\n"
	}'
}

# Replaces what stands between the marks <!-- flags VERB --> and <!-- end -->.
operations() {
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
	done <"$root/docs/operations.md"
}

api >"$new/api.md"
operations >"$new/operations.md"
for page in api operations; do
	if [ -n "$check" ]; then
		diff -u "$root/docs/$page.md" "$new/$page.md" || {
			echo "docs/$page.md is not as the program says: run sh tools/docs.sh" >&2
			exit 1
		}
	else
		cp "$new/$page.md" "$root/docs/$page.md"
	fi
done
