#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors
#
# Artifacts through Capstan, straight to the store, and through MLflow 3.17.2's proxy, in interleaved rounds.
#
#   sh tests/bench/artifacts.sh [--quick] [--no-mlflow] [--rounds N] [--only large|first-byte|parallel|small]...
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
sh "$root/tools/packages.sh" install run build test bench
python=$(sh "$root/tools/venv.sh" stores)
sh "$root/tools/stores.sh" versitygw >/dev/null
if [ -z "${CAPSTAN_BINARY:-}" ]; then
	cd "$root"
	cmake --preset release >/dev/null
	cmake --build --preset release --target capstan
fi
exec "$python" -W ignore "$root/tests/bench/artifacts.py" "$@"
