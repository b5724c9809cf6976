#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors
#
# Fetches a Go module into a new directory below FOLDER, checks that it is the one that is meant, and prints where it
# is: FOLDER/module.XXXXXX/pkg/mod/MODULE@VERSION. Any Go will do; see `go env GOPROXY` for where it asks.
#
#   sh tools/module.sh MODULE VERSION SUM FOLDER         SUM: as in a go.sum, h1:...
set -eu

command -v go >/dev/null || {
	echo "module.sh: no Go here; sh tools/packages.sh install test brings one" >&2
	exit 1
}
work=$(mktemp -d "$4/module.XXXXXX")
trap 'rm -rf "$work"' EXIT
(
	cd "$work"
	GOTOOLCHAIN=local GO111MODULE=on GOWORK=off GOFLAGS=-modcacherw GOPATH=$work GOMODCACHE=$work/pkg/mod GOCACHE=$work/cache \
		go mod download -json "$1@$2"
) >"$work/told" || {
	cat "$work/told" >&2
	exit 1
}
grep -qF "\"Sum\": \"$3\"" "$work/told" || {
	echo "module.sh: this is not the $1@$2 that is meant:" >&2
	cat "$work/told" >&2
	exit 1
}
trap - EXIT
echo "$work/pkg/mod/$1@$2"
