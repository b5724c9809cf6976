#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors
#
# Capstan, MLflow 3.17.2 and FastTrackML 0.5.0 side by side, on databases of the same PostgreSQL, in interleaved rounds,
# with pgbench and COPY as floors. Replies are compared before anything is measured.
#
#   sh tests/bench/run.sh [--quick] [--growth] [--peers mlflow,fasttrackml] [--only NAME,...] [--rounds N] [--out DIR]
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
sh "$root/tools/packages.sh" install run build test bench
python=$(sh "$root/tools/venv.sh" 3.17.2)
fml=${XDG_CACHE_HOME:-$HOME/.cache}/capstan/fasttrackml-0.5.0
if ! [ -x "$fml/fml" ]; then
	mkdir -p "$fml"
	"$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: -d "$fml" \
		fasttrackml==0.5.0 >&2
	"$python" -m zipfile -e "$fml"/*.whl "$fml/wheel"
	install -m 755 "$fml"/wheel/*.data/data/bin/fml "$fml/fml"
	rm -rf "$fml/wheel" "$fml"/*.whl
fi
export FASTTRACKML_BINARY="$fml/fml"
if [ -z "${CAPSTAN_BINARY:-}" ]; then
	cd "$root"
	cmake --preset release >/dev/null
	cmake --build --preset release --target capstan
fi
exec "$python" -W ignore "$root/tests/bench/bench.py" "$@"
