#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors
#
# How fast `capstan import` takes over a database that MLflow filled: 2,000 runs, 2 million points, 200 versions, from
# PostgreSQL into a private one. Prints the points a second of the metrics alone and of the whole import.
#
#   sh tests/bench/import.sh [POINTS [RUNS]]
set -eu

cd "$(dirname "$0")/../.."
python=$(sh tools/venv.sh 3.17.2)
exec "$python" tests/bench/import.py "${1:-2000000}" "${2:-2000}"
