#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors
#
# Capstan and MLflow 3.17.2 side by side, on databases of the same PostgreSQL, in interleaved rounds.
#
#   sh tests/bench/run.sh [--quick] [--no-mlflow] [--only WORKLOAD]...
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
sh "$root/tools/packages.sh" install run build test bench
python=$(sh "$root/tools/venv.sh" 3.17.2)
if [ -z "${CAPSTAN_BINARY:-}" ]; then
	cd "$root"
	cmake --preset release >/dev/null
	cmake --build --preset release --target capstan
fi
exec "$python" -W ignore "$root/tests/bench/bench.py" "$@"
