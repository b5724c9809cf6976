# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""What was found, as text: tables, and the bars that are aimed at."""

PEERS = ("capstan", "mlflow", "fasttrackml")
SIDES = ("client", "server", "postgres")


def figure(value, digits=1):
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.{digits}f}"


def times(value):
    return "-" if value is None else f"{value:,.{0 if value >= 100 else 1 if value >= 10 else 2}f} x"


def table(head, rows):
    cells = [[str(cell) for cell in row] for row in [head, *rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    lines = (
        "  ".join(cell.rjust(width) if i else cell.ljust(width) for i, (cell, width) in enumerate(zip(row, widths)))
        for row in cells
    )
    return "\n".join(line.rstrip() for line in lines) + "\n"


def ratio(a, b):
    return a / b if a and b else None


def value(row, peer, what="rate"):
    return ((row or {}).get("peers", {}).get(peer) or {}).get(what)


def against(row, peer):
    return ratio(value(row, "capstan"), value(row, peer))


def floor(row):
    """Capstan to PostgreSQL alone: commits of pgbench, points of COPY."""
    return ratio((value(row, "capstan") or 0) * max(row["points"], 1), row.get("floor")) if row else None


def label(row):
    return f"{row['connections']}" + (f" +{row['idle']:,}" if row["idle"] else "")


def present(rows):
    return [peer for peer in PEERS if any(value(row, peer) for row in rows)]


def speed(rows):
    peers = present(rows)
    head, lines = ["requests/s", "conns"], []
    for peer in peers:
        head += [peer, "p50 ms", "p99 ms"]
    head += ["floor"] + [f"to {peer}" for peer in peers if peer != "capstan"] + ["to floor"]
    for row in rows:
        line = [row["workload"], label(row)]
        for peer in peers:
            line += [figure(value(row, peer, what)) for what in ("rate", "p50", "p99")]
        bare = row.get("floor")
        line.append(f"{figure(bare)} {row['floor name']}" if bare else "-")
        line += [times(against(row, peer)) for peer in peers if peer != "capstan"] + [times(floor(row))]
        lines.append(line)
    return table(head, lines)


def costs(rows):
    peers = present(rows)
    head = ["CPU us/request", "conns"] + [f"{peer} {side}" for peer in peers for side in SIDES]
    lines = []
    for row in rows:
        line = [row["workload"], label(row)]
        for peer in peers:
            line += [figure(cost, 0) for cost in value(row, peer, "cpu") or [None] * 3]
        lines.append(line)
    return table(head, lines)


def memory(found):
    head = ["", "start ms", "MiB idle", "threads", "MiB at 256", "threads", "MiB idle clients", "MiB after all"]
    return table(
        head,
        [
            [
                peer, figure(m["start"]), figure(m["rss"]), m["threads"], figure(m["busy"]), m["busy threads"],
                f"{figure(m['idle'])} ({m['clients']:,})", figure(m.get("after")),
            ]
            for peer, m in found.items()
        ],
    )  # fmt: skip


def mixed(found):
    head = ["p99 of small requests, ms", "reads", "to alone", "writes", "to alone", "reads/s", "writes/s", "artifacts MiB/s", "MiB"]
    lines = []
    for where, ways in found.items():
        alone = ways["nothing"]
        for name, each in ways.items():
            line = [f"{where}: beside {name}"]
            for kind in ("small-reads", "small-writes"):
                line += [figure(each[kind]["p99"], 2), times(ratio(each[kind]["p99"], alone[kind]["p99"]))]
            line += [figure(each[kind]["rate"]) for kind in ("small-reads", "small-writes")]
            lines.append(line + [figure(each.get("moved")), figure(each.get("rss"))])
    return table(head, lines)


def growth(found):
    """One table per workload: p50 by size."""
    sizes = [name for name in ("runs-1000", "base", "big", "wide") if name in found]
    titles = {"runs-1000": "1,000 runs", "base": "10,000 runs", "big": "100,000 runs", "wide": "1,000 x 1,000 metrics"}
    lines, workloads = [], []
    for each in sizes:
        workloads += [w for w in found[each].get("capstan", {}) if w not in workloads]
    for workload in workloads:
        for peer in PEERS:
            cells = [(found[s].get(peer, {}).get(workload) or {}).get("p50") for s in sizes]
            if any(cells):
                lines.append([workload, peer, *(figure(cell, 2) for cell in cells)])
    text = table(["p50 ms, one client", "", *(titles[s] for s in sizes)], lines) if lines else ""
    long = found.get("long", {})
    if long.get("capstan"):
        names = list(long["capstan"])
        head = ["p50 ms of 320 buckets", *(f"{int(name.split()[1]):,} points" for name in names)]
        lines = [[peer, *(figure((long[peer].get(n) or {}).get("p50"), 2) for n in names)] for peer in PEERS if peer in long]
        text += "\n" + table(head, lines)
    return text


def plans(found):
    text = f"{found['plans']:,} plans seen, {len(found['large'])} tables with 5,000 rows or more\n"
    if not found["statements"]:
        return text + "no statement read one of them from beginning to end\n"
    for each in found["statements"]:
        text += f"  {each['table']} ({each['rows']:,} rows) by {', '.join(each['workloads'])}: {each['statement'][:160]} ...\n"
    return text


def bars(results):
    """(what, bar, reached, met): those of the issue that asked for this."""
    rows = results.get("rows", {})
    found = []

    def least(what, bar, reached):
        if reached is not None:
            found.append((what, f">= {bar} x", times(reached), reached >= bar))

    def most(what, bar, reached, unit):
        if reached is not None:
            found.append((what, f"<= {bar} {unit}", f"{figure(reached, 2)} {unit}", reached <= bar))

    def mlflow(key, bar):
        least(f"{key}: to mlflow", bar, against(rows.get(key), "mlflow"))

    mlflow("log-metric 32", 60)
    mlflow("log-metric 256", 120)
    least("log-metric 256: to pgbench", 2, floor(rows.get("log-metric 256")))
    for count, bar in ((10, 60), (100, 50), (1000, 50)):
        mlflow(f"log-batch-{count} 32", bar)
    least("log-batch-1000 32: points to COPY", 0.6, floor(rows.get("log-batch-1000 32")))
    for name in ("create-run", "log-param", "set-tag"):
        for connections in (32, 256):
            mlflow(f"{name} {connections}", 100)
    for name in ("get-run", "get-experiment"):
        mlflow(f"{name} 32", 100)
        least(f"{name} 32: to /health", 0.4, ratio(value(rows.get(f"{name} 32"), "capstan"), value(rows.get("health 32"), "capstan")))
    mlflow("search-filter 32", 60)
    most("search-filter of 100,000 runs, one client: p50", 10, ((results.get("big") or {}).get("search-filter") or {}).get("p50"), "ms")
    mlflow("history 1", 100)
    most("history of 1,000,000 points, one client: p50", 10, value(rows.get("history 1"), "capstan", "p50"), "ms")
    for name in ("experiments-search", "model-search", "model-search-tag"):
        mlflow(f"{name} 32", 60)
    ours = results.get("memory", {}).get("capstan", {})
    for what, key, bar in (("idle", "rss", 20), ("at 256 connections", "busy", 40), ("with 10,000 idle clients", "idle", 100)):
        most(f"memory {what}", bar, ours.get(key), "MiB")
    for where, ways in results.get("mixed", {}).items():
        for kind in ("small-reads", "small-writes"):
            reached = ratio(ways["all of it"][kind]["p99"], ways["nothing"][kind]["p99"])
            if reached:
                found.append((f"p99 of {kind} beside all, {where}", "<= 3 x idle", times(reached), reached <= 3))
    return found


def verdicts(results):
    lines = [[what, bar, reached, "met" if met else "MISSED"] for what, bar, reached, met in bars(results)]
    return table(["what", "bar", "reached", ""], lines)


def text(results):
    about = results["about"]
    parts = [f"{about['date']}, {about['machine']}; {about['how']}\n"]
    parts += [line + "\n" for line in results.get("equal", [])]
    rows = list(results.get("rows", {}).values())
    if rows:
        parts += ["\n", speed(rows), "\n", costs(rows)]
    if results.get("big"):
        lines = [[name, figure(e["rate"]), figure(e["p50"], 2), figure(e["p99"], 2)] for name, e in results["big"].items() if e]
        parts += ["\n", table(["100,000 runs, one client", "requests/s", "p50 ms", "p99 ms"], lines)]
    if results.get("memory"):
        parts += ["\n", memory(results["memory"])]
    if results.get("mixed"):
        parts += ["\n", mixed(results["mixed"])]
    if results.get("accounts"):
        lines = [
            [w, *map(figure, each.values()), f"{(1 - each['basic auth'] / each['open']) * 100:.1f} %"]
            for w, each in results["accounts"].items()
        ]
        parts += ["\n", table(["requests/s, 32 conns", "open", "basic auth", "cost"], lines)]
    if results.get("growth"):
        parts += ["\n", growth(results["growth"])]
    if results.get("plans"):
        parts += ["\n", plans(results["plans"])]
    if bars(results):
        parts += ["\n", verdicts(results)]
    for peer, errors in results.get("errors", {}).items():
        for workload, count in errors.items():
            parts.append(f"{peer}: {count:,} requests of {workload} failed or timed out (not counted)\n")
    return "".join(parts)
