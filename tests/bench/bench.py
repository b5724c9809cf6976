# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""Capstan beside MLflow, FastTrackML and PostgreSQL alone: see run.sh."""

import argparse
import contextlib
import json
import os
import pathlib
import platform
import resource
import shutil
import signal
import statistics
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "api"))

import beside  # noqa: E402
import equal  # noqa: E402
import growth  # noqa: E402
import loads  # noqa: E402
import page  # noqa: E402
import peers  # noqa: E402
import report  # noqa: E402
import seed  # noqa: E402

SECTIONS = ("memory", "mixed", "big", "accounts")
# A short run leaves these out.
LONG = {"log-batch-10 256", "log-batch-100 256", "log-batch-1000 256", "log-param 256", "set-tag 256", "get-run 256",
        "get-run 1", "search-filter 1", "history 32", "health 256", "version-create 32", "alias-set 32"}  # fmt: skip
COPY_ROWS = 500_000


def arguments():
    parser = argparse.ArgumentParser(prog="run.sh")
    parser.add_argument("--quick", action="store_true", help="one short round on less data: shows that it works")
    parser.add_argument("--growth", action="store_true", help="cost by size instead, and plans of statements")
    parser.add_argument("--peers", default="mlflow,fasttrackml", help="besides Capstan, or none")
    parser.add_argument("--only", default="", help=f"workloads, perhaps with connections as in 'get-run 32'; {', '.join(SECTIONS)}, plans;"
                        f" with --growth {', '.join(growth.SIZES)}, plans")  # fmt: skip
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=int, help="of a stretch")
    parser.add_argument("--out", default="build/bench", help="directory of results.json, table.txt and page.html")
    parser.add_argument("--fresh", action="store_true", help="forget what earlier runs left in the directory")
    parser.add_argument("--seed", default="", help=f"make these templates, measure nothing: {', '.join(seed.SIZES)}")
    options = parser.parse_args()
    options.peers = [p for p in options.peers.split(",") if p and p != "none"]
    unknown = set(options.peers) - set(peers.KINDS)
    if unknown:
        parser.error(f"no such peer: {', '.join(unknown)}")
    options.only = [w for w in options.only.split(",") if w]
    options.rounds = options.rounds or (1 if options.quick else 3)
    options.seconds = options.seconds or (1 if options.quick else 2)
    return options


def wanted(options):
    """Workloads and sections to run."""
    if not options.only:
        chosen = [w for w in loads.WORKLOADS if not options.quick or w.key not in LONG]
        return chosen, [s for s in SECTIONS if not options.quick or s in ("memory", "mixed")]
    names = set(options.only)
    chosen = [w for w in loads.WORKLOADS if w.name in names or w.key in names]
    sections = [s for s in (*SECTIONS, "plans") if s in names]
    unknown = names - {w.name for w in chosen} - {w.key for w in chosen} - set(sections)
    if unknown:
        sys.exit(f"run.sh: no such workload: {', '.join(sorted(unknown))}")
    return chosen, sections


def progress(text):
    print(text, file=sys.stderr, flush=True)


def stretch(target, workload, options, number):
    """A peer's slow requests are timed one by one, in the first round only."""
    if target.name == "capstan":
        return target.load(workload.name, workload.connections, options.seconds, workload.idle)
    if workload.alone:
        return None
    if workload.timed:
        return target.timed(workload.name) if not number and workload.connections == 1 else None
    if options.quick and workload.connections == 256:
        return None
    slow = target.name == "mlflow"
    return target.load(workload.name, workload.connections, options.seconds + slow, workload.idle)


def bare(cluster, workload, options):
    if workload.floor == "pgbench":
        return peers.pgbench(cluster, workload.connections, options.seconds)
    return peers.copy_points(cluster, COPY_ROWS)


def middle(found):
    """Of each figure, the median over the rounds."""
    found = [each for each in found if each]
    if not found:
        return None
    return {
        what: (
            [statistics.median(each["cpu"][i] for each in found) for i in range(3)]
            if what == "cpu"
            else statistics.median(each[what] for each in found)
        )
        for what in found[0]
    }


def speed(targets, cluster, options, workloads, rows):
    taken, floors = {}, {}
    for number in range(options.rounds):
        for target in targets:
            target.rest()
        for workload in workloads:
            for target in targets:
                taken.setdefault((workload.key, target.name), []).append(stretch(target, workload, options, number))
            if workload.floor:
                floors.setdefault(workload.key, []).append(bare(cluster, workload, options))
        progress(f"round {number + 1} of {options.rounds} done")
    for workload in workloads:
        row = {
            "workload": workload.name,
            "connections": workload.connections,
            "idle": workload.idle,
            "points": workload.points,
            "peers": {target.name: middle(taken[workload.key, target.name]) for target in targets},
        }
        if workload.floor:
            row["floor"], row["floor name"] = statistics.median(floors[workload.key]), workload.floor
        rows[workload.key] = row


def ordered(rows):
    return {w.key: rows[w.key] for w in loads.WORKLOADS if w.key in rows}


def measure(cluster, folder, options, results):
    workloads, sections = wanted(options)
    size = seed.SIZES["quick" if options.quick else "base"]
    targets = []
    try:
        for kind in ["capstan", *options.peers] if workloads or {"memory", "mixed"} & set(sections) else []:
            targets.append(loads.open_target(cluster, kind, size, folder, wait=1))
        if targets:
            progress(f"{', '.join(target.name for target in targets)} started")
        if targets[1:] or targets and "equal" not in results:
            results["equal"] = equal.check(targets, size)
            progress("\n".join(results["equal"]))
        for target in targets:
            target.prepare()
        if "memory" in sections:
            results["memory"] = {t.name: beside.memory(t, options) for t in targets}
        speed(targets, cluster, options, workloads, results.setdefault("rows", {}))
        results["rows"] = ordered(results["rows"])
        for target in targets if "memory" in sections else []:
            results["memory"][target.name]["after"] = peers.megabytes(target.server)
        results["errors"] = {t.name: t.errors for t in targets}
        for target in targets[1:]:
            target.server.close()
        if "mixed" in sections:
            results["mixed"] = {"disk": beside.mixed(targets[0], folder, options)}
            other = None if options.quick else beside.mixed_with_store(cluster, targets[0], folder, options)
            if other:
                results["mixed"]["versitygw"] = other
    finally:
        for target in targets:
            target.server.close()
    if "big" in sections:
        results["big"] = beside.big(cluster, folder, options)
    if "accounts" in sections:
        results["accounts"] = beside.accounts(cluster, folder, options)
    if "plans" in sections:
        results["plans"] = growth.plans(cluster, folder, options)


def machine():
    with open("/proc/meminfo") as f:
        memory = int(next(f).split()[1]) / (1 << 20)
    return f"{os.cpu_count()} cores ({platform.machine()}), {memory:.0f} GiB, Linux {platform.release()}"


def about(cluster, options):
    with cluster.cursor() as cursor:
        cursor.execute("SHOW server_version")
        version = cursor.fetchone()[0].split()[0]
    return {
        "date": time.strftime("%Y-%m-%d %H:%M", time.gmtime()) + " UTC",
        "machine": f"{machine()}, PostgreSQL {version}",
        "how": f"medians of {options.rounds} rounds of {options.seconds} s" if options.rounds > 1 else f"one round of {options.seconds} s",
    }


def main():
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    out = pathlib.Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    kept = out / "results.json"
    results = json.loads(kept.read_text()) if kept.exists() and not options.fresh else {}
    folder = tempfile.mkdtemp(prefix="capstan-bench-")
    os.chmod(folder, 0o711)
    cluster = peers.Cluster(os.environ.get("CAPSTAN_BENCH_DIR", f"/var/tmp/capstan-bench-{os.getuid()}"))
    try:
        cluster.start()
        results["about"] = about(cluster, options)
        if options.seed:
            for name in options.seed.split(","):
                for kind in ["capstan", *options.peers]:
                    seed.template(cluster, kind, seed.SIZES[name])
            return 0
        if options.growth:
            sizes = [name for name in growth.SIZES if not options.only or name in options.only]
            results.setdefault("growth", {}).update(growth.measure(cluster, folder, options, sizes))
            if not options.only or "plans" in options.only:
                results["plans"] = growth.plans(cluster, folder, options)
        else:
            measure(cluster, folder, options, results)
    except equal.Different as difference:
        print(f"Capstan and MLflow do not answer the same\n{difference}")
        return 1
    finally:
        cluster.close()
        shutil.rmtree(folder, ignore_errors=True)
    text = report.text(results)
    print(text)
    kept.write_text(json.dumps(results, indent=1))
    (out / "table.txt").write_text(text)
    (out / "page.html").write_text(page.render(results))
    with contextlib.suppress(ValueError):
        out = out.relative_to(pathlib.Path.cwd())
    progress(f"{out}/table.txt, {out}/page.html")
    return 0


if __name__ == "__main__":
    sys.exit(main())
