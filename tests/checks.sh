#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors
#
# What a compiler does not see: banned functions, the licence line, the length of files and functions, who may speak
# SQL, HTTP and libpq, and docs that are not as the program says.
#
#   sh tests/checks.sh [BINARY]
set -u

cd "$(dirname "$0")/.." || exit 1
failed=0

bad() {
	[ -n "$2" ] || return 0
	printf '%s\n' "$1"
	printf '%s\n' "$2" | sed 's/^/    /'
	failed=1
}

sources() {
	git ls-files -co --exclude-standard -- "$@"
}

code=$(sources 'src/*.c' 'src/*.h' 'include/*.h')

bad 'banned: unbounded, locale-dependent, or silent about errors' \
	"$(grep -nE '(^|[^a-zA-Z0-9_])(strcpy|strcat|sprintf|vsprintf|gets|atoi|atol|atoll|atof|strtok|alloca|mktemp|tmpnam|system|popen)\(' $code)"
bad 'no licence line' "$(for f in $code $(sources 'tests/*.c' 'tests/*.py' 'tests/*.sh' 'tools/*.sh' 'examples/*'); do
	head -n 3 "$f" | grep -q 'SPDX-License-Identifier: Apache-2.0' || echo "$f"; done)"
bad 'longer than 800 lines' "$(wc -l $code $(sources 'tests/*.c' 'tests/*.py') | awk '$2 != "total" && $1 > 800')"
bad 'functions longer than 70 lines' "$(awk '
	FNR == 1 { open = 0 }
	/^\{/ { open = FNR }
	/^\}/ { if (open && FNR - open - 1 > 70) print FILENAME ":" open ": " FNR - open - 1; open = 0 }' $code)"
# exchange/ reads the databases of MLflow itself: its schema, not ours.
bad 'SQL outside of store, search and db' \
	"$(grep -nE '"[^"]*(SELECT .* FROM|INSERT INTO|UPDATE .* SET|DELETE FROM) ' $(sources 'src/*.c' |
		grep -vE '^src/(store|search|db|exchange/(mlflow|source)_)'))"
bad 'libpq outside of db' "$(grep -ln 'libpq-fe.h' $code | grep -v '^src/db/')"
bad 'libmicrohttpd outside of http' "$(grep -ln 'microhttpd.h' $code | grep -v '^src/http/')"
bad 'unfinished' "$(grep -nE '\b(TODO|FIXME|XXX|HACK)\b' $code)"

if [ $# -gt 0 ]; then
	sh tools/docs.sh --check "$1" || failed=1
fi
[ $failed = 0 ] && echo "checks passed"
exit $failed
