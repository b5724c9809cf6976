# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""See import.sh. CAPSTAN_BINARY: the program."""

import json
import os
import pathlib
import shutil
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "api"))
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

import capstan_server  # noqa: E402
import import_fill  # noqa: E402


def main(points, runs):
    postgres = capstan_server.Postgres("-c max_connections=50 -c shared_buffers=256MB").start()
    target = capstan_server.temporary_dir()
    try:
        uri = postgres.database("source")
        began = time.monotonic()
        import_fill.fill(uri, runs=runs, points=points, versions=200)
        print(f"filled in {time.monotonic() - began:.0f} s", flush=True)
        report = os.path.join(target, "report.json")
        done = capstan_server.run(
            "import", "--from", uri, "--data-dir", os.path.join(target, "data"), "--report", report, timeout=900
        )
        print(done.stdout)
        if done.returncode:
            print(done.stderr, file=sys.stderr)
            return 1
        r = json.loads(pathlib.Path(report).read_text())
        print(f"points/s: {r['points_per_second']:,} reading and writing them,", end=" ")
        print(f"{r['points'] / r['seconds']:,.0f} of the whole import, verification included")
        return 0
    finally:
        postgres.close()
        shutil.rmtree(target, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))
