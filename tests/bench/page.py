# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""What was found, as one HTML page that needs nothing else: tables and plots, readable in light and dark."""

import html
import math

import report

COLOURS = {"capstan": "var(--a)", "mlflow": "var(--b)", "fasttrackml": "var(--c)", "floor": "var(--d)"}
SIDE_COLOURS = {"client": "var(--d)", "server": "var(--a)", "postgres": "var(--b)"}
STYLE = """
:root { color-scheme: light dark; --ink: #1c1e21; --soft: #6b7280; --line: #d7dbe0; --paper: #ffffff; --box: #f6f7f9;
	--a: #1668c5; --b: #c8541b; --c: #2a8a57; --d: #8a8f98; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8eb; --soft: #9aa3ae; --line: #3a4048; --paper: #14171b;
	--box: #1c2026; --a: #6cb0ff; --b: #ff9a62; --c: #62cf94; --d: #7c848f; --bad: #ff8a80; } }
body { margin: 2rem auto; max-width: 72rem; padding: 0 1rem; color: var(--ink); background: var(--paper);
	font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: 0; } h2 { font-size: 1.15rem; margin: 2.5rem 0 .6rem; }
p { margin: .3rem 0 .8rem; } .soft { color: var(--soft); }
table { border-collapse: collapse; width: 100%; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; white-space: normal; } th { color: var(--soft); font-weight: 500; }
.missed { color: var(--bad); font-weight: 600; } .wide { overflow-x: auto; }
pre { background: var(--box); padding: 1rem; overflow-x: auto; font-size: 12px; line-height: 1.45; }
svg { width: 100%; height: auto; display: block; } svg text { fill: var(--ink); font: 12px system-ui, sans-serif; }
svg .soft { fill: var(--soft); } svg .grid { stroke: var(--line); stroke-width: 1; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(22rem, 1fr)); gap: 1.5rem; }
figure { margin: 0; } figcaption { font-size: 13px; color: var(--soft); }
"""


def escape(text):
    return html.escape(str(text))


def short(value):
    """A number for an axis."""
    for size, mark in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{mark}"
    return f"{value:g}"


class Log:
    """A logarithmic axis from pixel a to pixel b over whole decades."""

    def __init__(self, values, a, b):
        values = [v for v in values if v and v > 0]
        self.low = math.floor(math.log10(min(values)))
        self.high = max(self.low + 1, math.ceil(math.log10(max(values))))
        self.a, self.b = a, b

    def at(self, value):
        return self.a + (self.b - self.a) * (math.log10(value) - self.low) / (self.high - self.low)

    def ticks(self):
        return [10.0**n for n in range(self.low, self.high + 1)]


def legend(names, colours, x=0, y=14):
    parts = []
    for name in names:
        parts.append(f'<rect x="{x}" y="{y - 9}" width="10" height="10" fill="{colours[name]}"/>')
        parts.append(f'<text x="{x + 15}" y="{y}">{escape(name)}</text>')
        x += 35 + 7 * len(name)
    return parts


def grid(axis, top, bottom):
    parts = []
    for tick in axis.ticks():
        x = axis.at(tick)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{bottom}"/>')
        parts.append(f'<text class="soft" x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{short(tick)}</text>')
    return parts


def svg(width, height, parts, title):
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}"><title>{escape(title)}</title>'
        + "".join(parts)
        + "</svg>"
    )


def bars(rows):
    """Requests a second of each workload, one bar per peer, on a logarithmic scale."""
    peers = report.present(rows)
    height = 13 * len(peers) + 14
    axis = Log([report.value(row, peer) for row in rows for peer in peers], 230, 900)
    bottom = 30 + height * len(rows)
    parts = legend(peers, COLOURS, 230) + grid(axis, 24, bottom)
    y = 30
    for row in rows:
        name = f"{row['workload']}, {report.label(row)}"
        parts.append(f'<text x="220" y="{y + 7 * len(peers) + 4}" text-anchor="end">{escape(name)}</text>')
        for number, peer in enumerate(peers):
            rate, top = report.value(row, peer), y + 13 * number
            if not rate:
                parts.append(f'<text class="soft" x="234" y="{top + 10}">-</text>')
                continue
            end = axis.at(rate)
            parts.append(f'<rect x="230" y="{top}" width="{max(1, end - 230):.1f}" height="11" fill="{COLOURS[peer]}"/>')
            said = report.figure(rate)
            if peer != "capstan":
                said += f" · {report.times(report.against(row, peer))}"
            parts.append(f'<text class="soft" x="{end + 5:.1f}" y="{top + 10}">{said}</text>')
        y += height
    return svg(1000, bottom + 24, parts, "requests per second")


def latencies(rows):
    """p50 (dot) to p99 (end of the line) of each workload and peer."""
    peers = report.present(rows)
    height = 11 * len(peers) + 12
    values = [report.value(row, peer, what) for row in rows for peer in peers for what in ("p50", "p99")]
    axis = Log(values, 230, 960)
    bottom = 30 + height * len(rows)
    parts = legend(peers, COLOURS, 230) + grid(axis, 24, bottom)
    y = 34
    for row in rows:
        name = f"{row['workload']}, {report.label(row)}"
        parts.append(f'<text x="220" y="{y + 6 * len(peers)}" text-anchor="end">{escape(name)}</text>')
        for number, peer in enumerate(peers):
            p50, p99 = (report.value(row, peer, what) for what in ("p50", "p99"))
            if p50 and p99:
                a, b, line = axis.at(p50), axis.at(p99), y + 11 * number
                colour = COLOURS[peer]
                parts.append(f'<line x1="{a:.1f}" x2="{b:.1f}" y1="{line}" y2="{line}" stroke="{colour}" stroke-width="2"/>')
                parts.append(f'<circle cx="{a:.1f}" cy="{line}" r="4" fill="{colour}"/>')
                parts.append(f'<line x1="{b:.1f}" x2="{b:.1f}" y1="{line - 4}" y2="{line + 4}" stroke="{colour}" stroke-width="2"/>')
        y += height
    return svg(1000, bottom + 24, parts, "p50 and p99 in ms")


def costs(rows):
    """Where Capstan's requests spend their CPU, each side's share of the whole."""
    rows = [row for row in rows if report.value(row, "capstan", "cpu")]
    parts = legend(report.SIDES, SIDE_COLOURS, 230)
    y = 28
    for row in rows:
        cpu = report.value(row, "capstan", "cpu")
        total, x = sum(cpu) or 1, 230.0
        name = f"{row['workload']}, {report.label(row)}"
        parts.append(f'<text x="220" y="{y + 11}" text-anchor="end">{escape(name)}</text>')
        for side, cost in zip(report.SIDES, cpu):
            width = 600 * cost / total
            parts.append(
                f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="14" fill="{SIDE_COLOURS[side]}">'
                f"<title>{side}: {report.figure(cost)} us</title></rect>"
            )
            x += width
        parts.append(f'<text class="soft" x="840" y="{y + 11}">{report.figure(total)} us</text>')
        y += 21
    return svg(1000, y + 6, parts, "CPU of a request of Capstan")


def curve(title, series):
    """Lines of (size, ms) per peer, both axes logarithmic."""
    points = [point for line in series.values() for point in line]
    if len({x for x, _ in points}) < 2:
        return ""
    across, up = Log([x for x, _ in points], 50, 380), Log([y for _, y in points], 190, 30)
    parts = legend(list(series), COLOURS, 50, 14)
    for tick in up.ticks():
        y = up.at(tick)
        parts.append(f'<line class="grid" x1="50" x2="380" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="soft" x="44" y="{y + 4:.1f}" text-anchor="end">{short(tick)}</text>')
    for tick in across.ticks():
        parts.append(f'<text class="soft" x="{across.at(tick):.1f}" y="208" text-anchor="middle">{short(tick)}</text>')
    for peer, line in series.items():
        places = [(across.at(x), up.at(y)) for x, y in line]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{COLOURS[peer]}" stroke-width="2"/>')
        parts += [
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{COLOURS[peer]}"><title>{report.figure(ms, 2)} ms</title></circle>'
            for (x, y), (_, ms) in zip(places, line)
        ]
    return f"<figure>{svg(400, 214, parts, title)}<figcaption>{escape(title)}</figcaption></figure>"


def lines_of(found, sizes, workload):
    """peer -> (size, p50) of those that answered."""
    series = {}
    for peer in report.PEERS:
        line = [
            (x, each["p50"])
            for name, x in sizes
            if (each := found.get(name, {}).get(peer, {}).get(workload)) and each["p50"]
        ]
        if line:
            series[peer] = line
    return series


def growth(found):
    runs = [("runs-1000", 1_000), ("base", 10_000), ("big", 100_000)]
    wide = [("runs-1000", 10), ("wide", 1_000)]
    workloads = list(found.get("base", found.get("runs-1000", {})).get("capstan", {}))
    plots = [curve(f"{w}: ms by number of runs", lines_of(found, runs, w)) for w in workloads]
    chosen = ("get-run", "search-rows", "search-filter", "page-1", "log-metric")
    plots += [curve(f"{w}: ms by metrics per run", lines_of(found, wide, w)) for w in workloads if w in chosen]
    long = found.get("long", {})
    series = {}
    for peer in report.PEERS:
        line = [(int(name.split()[1]), each["p50"]) for name, each in long.get(peer, {}).items() if each]
        if line:
            series[peer] = line
    plots.append(curve("history to 320 buckets: ms by points", series))
    return f'<div class="plots">{"".join(plots)}</div>'


def verdicts(results):
    rows = "".join(
        f"<tr><td>{escape(what)}</td><td>{escape(bar)}</td><td>{escape(reached)}</td>"
        f"<td{'' if met else ' class=missed'}>{'met' if met else 'missed'}</td></tr>"
        for what, bar, reached, met in report.bars(results)
    )
    return f"<table><tr><th>what</th><th>bar</th><th>reached</th><th></th></tr>{rows}</table>"


def render(results):
    about, rows = results["about"], list(results.get("rows", {}).values())
    parts = [
        "<h1>Capstan, measured beside others</h1>",
        f'<p class="soft">{escape(about["date"])} · {escape(about["machine"])} · {escape(about["how"])}.'
        " Client, server and PostgreSQL share the machine's cores.</p>",
        "".join(f"<p>{escape(line)}</p>" for line in results.get("equal", [])),
    ]
    found = verdicts(results)
    if "<td>" in found:
        parts.append(f'<h2>What was aimed at</h2><div class="wide">{found}</div>')
    if any(report.value(row, "capstan") for row in rows):
        parts.append(f"<h2>Requests per second</h2><p class=soft>By workload and connections; how many times as much"
                     f" Capstan answers is behind each bar.</p>{bars(rows)}")  # fmt: skip
        parts.append(f"<h2>Time of a request, ms</h2><p class=soft>From the median to the 99th percentile.</p>{latencies(rows)}")
        parts.append(f"<h2>CPU of a request</h2><p class=soft>Who spends it, of Capstan's requests.</p>{costs(rows)}")
    if results.get("growth"):
        parts.append(f"<h2>As more is kept</h2><p class=soft>Median of one client, in ms.</p>{growth(results['growth'])}")
    parts.append(f"<h2>All figures</h2><pre>{escape(report.text(results))}</pre>")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Capstan, measured</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )
