"""Makes tables and plots from the measurements of the scripts here: report.py compare|growth|profiles|pair DIR

Reads runs.tsv, which describes each JSON document of `blipmq bench`, and the documents; writes Markdown
and SVG beside them. Needs only Python 3.11. Tests: report_test.py.

Always true:
- A value that was not measured is shown as "-", never as a zero.
- A run that was not clean is marked in its row.
"""

import json
import math
import statistics
import sys
from dataclasses import dataclass, field
from pathlib import Path
from xml.sax.saxutils import escape

CPU = "broker_cpu_ns_per_delivery"
RATE = "deliveries_per_s"
CONNECT_CPU = "broker_cpu_us_per_connect"


@dataclass
class Run:
    """A line of runs.tsv, and its document."""

    name: str
    title: str
    targets: list[str]
    chunk: int = 0
    bytes_per_send: int = 0
    bytes_per_delivery: float = 0.0
    floor_bytes: int = 0
    floor_sends: int = 0
    document: dict | None = None

    @property
    def mode(self):
        return self.document["mode"] if self.document else "failed"

    def target(self, name):
        """Returns the results of a target, or None."""
        if self.document is None or name not in self.targets:
            return None
        return self.document["targets"][self.targets.index(name)]

    def values(self, name, key):
        """Returns the values of a key, of all rounds that have the key."""
        rounds = (self.target(name) or {"rounds": []})["rounds"]
        return [one[key] for one in rounds if one.get(key) is not None]


def read_runs(text, load):
    """Parses a runs.tsv; `load` returns the document of a name, or None."""
    runs = []
    for line in text.splitlines():
        name, title, targets, *numbers = line.split("\t")
        chunk, per_send, per_delivery, floor_bytes, floor_sends = (numbers + ["0"] * 5)[:5]
        runs.append(
            Run(
                name,
                title,
                targets.split(","),
                int(chunk),
                int(per_send),
                float(per_delivery),
                int(floor_bytes),
                int(floor_sends),
                load(name),
            )
        )
    return runs


def load_from(folder):
    def load(name):
        file = folder / f"{name}.json"
        if not file.exists() or file.stat().st_size == 0:
            return None
        return json.loads(file.read_text())

    return load


# --- formats of numbers ---


def digits(value):
    """Formats a number with three significant digits."""
    if abs(value) >= 99.95 or value == 0:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 9.995 else f"{value:.2f}"


def scaled(value, units, smallest):
    for size, unit in units:
        if abs(value) >= size:
            return f"{digits(value / size)} {unit}"
    return f"{digits(value)}{smallest}"


def count(value):
    return scaled(value, [(1e9, "G"), (1e6, "M"), (1e3, "k")], "")


def micros(value):
    return scaled(value, [(1e6, "s"), (1e3, "ms")], " us")


def size(value):
    return scaled(value, [(2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")], " B")


def spread(values, show=digits):
    """Formats the median with the minimum and the maximum."""
    if not values:
        return "-"
    middle = show(statistics.median(values))
    if len(values) == 1:
        return middle
    return f"{middle} ({show(min(values))}-{show(max(values))})"


def median(values, show):
    return show(statistics.median(values)) if values else "-"


def ratios(above, below):
    """Returns the ratio of each round, whose two sides were measured one after the other."""
    return [a / b for a, b in zip(above, below) if b > 0]


def ratio(above, below):
    found = ratios(above, below)
    return f"{digits(statistics.median(found))}x" if found else "-"


def table(header, rows):
    """Formats a Markdown table; the first column is text, the others are numbers."""
    lines = [header, ["---"] + ["--:"] * (len(header) - 1), *rows]
    return "".join("| " + " | ".join(row) + " |\n" for row in lines)


def clean(run, names=None):
    """Returns "yes" if every message was delivered once and in order, else the targets that failed."""
    if run.document is None:
        return "FAILED"
    names = names or run.targets
    # Idle connections are checked too; a fault there leaves no document.
    unclean = [name for name in names if not (run.target(name) or {}).get("clean", True)]
    return "NOT CLEAN: " + ", ".join(unclean) if unclean else "yes"


def limited_by(run, names=None):
    """Returns what limited the throughput: the broker, or for which targets the generator or neither."""
    if run.mode != "throughput":
        return "-"
    found = []
    for word, key in [("generator", "generator_was_bottleneck"), ("neither", "neither_was_busy")]:
        all_names = names or run.targets
        limited = [name for name in all_names if (run.target(name) or {}).get(key)]
        if limited:
            found.append(f"{word}: {', '.join(limited)}")
    return "; ".join(found) or "broker"


# --- compare ---


def names_of(runs):
    """Returns all targets, in order of their first run."""
    return list(dict.fromkeys(name for run in runs for name in run.targets))


def cpu_table(runs):
    rivals = [name for name in names_of(runs) if name not in ("blip", "floor")]
    header = ["shape", "blip", *rivals, "floor", "blip / floor"]
    header += [f"{name} / blip" for name in rivals]
    header += [f"deliveries/s: {name}" for name in ["blip", *rivals]]
    header += ["clean", "limited by"]
    rows = []
    for run in runs:
        blip, floor = run.values("blip", CPU), run.values("floor", CPU)
        row = [run.title, spread(blip), *(spread(run.values(name, CPU)) for name in rivals)]
        row += [spread(floor), ratio(blip, floor)]
        row += [ratio(run.values(name, CPU), blip) for name in rivals]
        row += [median(run.values(name, RATE), count) for name in ["blip", *rivals]]
        rows.append([*row, clean(run), limited_by(run)])
    return table(header, rows)


def chunk_table(runs):
    """Shows whether the floor sent the same bytes in the same chunks."""
    header = ["shape", "blip: bytes per send", "bytes per delivery", "floor: chunk at most"]
    header += ["bytes per send"]
    rows = []
    for run in runs:
        per_send = run.floor_bytes / run.floor_sends if run.floor_sends else None
        rows.append(
            [
                run.title,
                f"{run.bytes_per_send:,}",
                digits(run.bytes_per_delivery),
                f"{run.chunk:,}",
                f"{per_send:,.0f}" if per_send else "-",
            ]
        )
    return table(header, rows)


def latency_table(runs):
    header = ["shape", "broker", "p50", "p99", "p99.9", "max", "CPU-ns per delivery", "clean"]
    rows = []
    for run in runs:
        for name in run.targets:
            row = [run.title, name]
            for key in ("p50", "p99", "p999", "max"):
                row.append(median(run.values(name, f"latency_{key}_us"), micros))
            rows.append([*row, spread(run.values(name, CPU)), clean(run, [name])])
    return table(header, rows)


def idle_table(runs):
    """Formats the idle runs, each of which is one round with fresh brokers."""
    header = ["shape", "broker", "memory per connection", "memory before", "CPU", "clean"]
    rows = []
    for name in names_of(runs):

        def values(key):
            return [value for run in runs for value in run.values(name, key)]

        percent = median(values("cpu_percent"), lambda value: f"{value:.3f} %")
        failed = [one for one in runs if clean(one, [name]) != "yes"]
        rows.append(
            [
                runs[0].title,
                name,
                spread(values("resident_bytes_per_connection"), size),
                median(values("resident_bytes_before"), size),
                percent,
                clean(failed[0], [name]) if failed else "yes",
            ]
        )
    return table(header, rows)


def batch_table(runs, single):
    header = ["shape", "CPU-ns per delivery", "with one a frame", "deliveries/s", "clean"]
    header += ["limited by"]
    rows = []
    for run in runs:
        one = single.get(run.name.removeprefix("batch_"))
        rows.append(
            [
                run.title,
                spread(run.values("blip", CPU)),
                spread(one.values("blip", CPU)) if one else "-",
                median(run.values("blip", RATE), count),
                clean(run),
                limited_by(run),
            ]
        )
    return table(header, rows)


def nats_table(runs):
    """Compares both brokers over the NATS protocol."""
    header = ["shape", "blip", "nats", "nats / blip", "deliveries/s: blip", "nats"]
    header += ["p50: blip", "nats", "p99: blip", "nats", "clean", "limited by"]
    rows = []
    for run in runs:
        cpu = [run.values(name, CPU) for name in ("blip", "nats")]
        row = [run.title, *map(spread, cpu), ratio(cpu[1], cpu[0])]
        row += [median(run.values(name, RATE), count) for name in ("blip", "nats")]
        for key in ("latency_p50_us", "latency_p99_us"):
            for name in ("blip", "nats"):
                # A throughput run fills queues by design, so its latency means nothing.
                timed = run.values(name, key) if run.mode in ("latency", "rtt") else []
                row.append(median(timed, micros))
        rows.append([*row, clean(run), limited_by(run)])
    return table(header, rows)


# The brokers of the runs over TLS: without TLS, and with it.
TLS_PAIRS = [("blip", "blips"), ("blip nats", "blip tls"), ("nats", "nats tls")]


def tls_ratios(run, key):
    """Returns the costs of TLS, and how many times as much nats-server needs over TLS."""
    row = []
    for plain, secured in TLS_PAIRS:
        values = [run.values(name, key) for name in (plain, secured)]
        row += [*map(spread, values), ratio(values[1], values[0])]
    return [*row, ratio(run.values("nats tls", key), run.values("blip tls", key))]


def tls_table(runs):
    """Compares each broker without and with TLS."""
    header = ["shape"]
    for plain, secured in TLS_PAIRS:
        header += [plain, secured, "ratio"]
    header += ["nats tls / blip tls"]
    header += [f"p50: {secured}" for _, secured in TLS_PAIRS] + ["clean", "limited by"]
    rows = []
    for run in runs:
        row = [run.title, *tls_ratios(run, CPU)]
        for _, secured in TLS_PAIRS:
            # A throughput run fills queues by design, so its latency means nothing.
            timed = run.values(secured, "latency_p50_us") if run.mode in ("latency", "rtt") else []
            row.append(median(timed, micros))
        rows.append([*row, clean(run), limited_by(run)])
    return table(header, rows)


def connects_table(runs):
    """Shows what it costs that a client connects, and how many connects a second of a CPU serves."""
    header = ["shape", "broker", "CPU-us per connect", "connects per CPU second", "clean"]
    rows = []
    for run in runs:
        for name in run.targets:
            values = [run.values(name, key) for key in (CONNECT_CPU, "connects_per_broker_cpu_s")]
            rows.append([run.title, name, spread(values[0]), median(values[1], count), clean(run, [name])])
    return table(header, rows)


def executors_table(runs):
    one, two = "1 executor", "2 executors"
    header = ["shape", one, two, "ratio", f"deliveries/s: {one}", two, "clean", "limited by"]
    rows = []
    for run in runs:
        cpu = [run.values(name, CPU) for name in (one, two)]
        rates = [median(run.values(name, RATE), count) for name in (one, two)]
        row = [run.title, *map(spread, cpu), ratio(cpu[1], cpu[0]), *rates]
        rows.append([*row, clean(run), limited_by(run)])
    return table(header, rows)


def compare(runs):
    """Returns the text of table.md."""
    batch = [run for run in runs if run.name.startswith("batch_")]
    cores = [run for run in runs if run.name.startswith("cores_")]
    idle = [run for run in runs if run.name.startswith("idle")]
    nats = [run for run in runs if run.name.startswith("nats_")]
    tls = [run for run in runs if run.name.startswith("tls_")]
    connects = [run for run in tls if run.name == "tls_connects"]
    tls = [run for run in tls if run not in connects]
    others = [run for run in runs if run not in [*batch, *cores, *idle, *nats, *tls, *connects]]
    # The CPU time of a round trip is mostly that of sleeping and waking up.
    loads = [run for run in others if run.mode in ("throughput", "latency", "failed")]
    timed = [run for run in others if run.mode in ("latency", "rtt")]
    sends = [run for run in others if run.mode == "throughput"]
    parts = []
    if loads:
        parts.append(
            "## Broker CPU per delivery, in nanoseconds\n\n"
            "Medians, with the minimum and the maximum of the rounds; a ratio is the median of the rounds'"
            " ratios, because the brokers took turns in each round.\n\n" + cpu_table(loads)
        )
    if nats:
        parts.append(
            "## Over the NATS protocol, CPU-ns per delivery\n\n"
            "The same generator measures both brokers.\n\n" + nats_table(nats)
        )
    if tls:
        parts.append(
            "## Over TLS 1.3, CPU-ns per delivery\n\n"
            "`blips` and `blip tls` are blipmq over BLIP/1 and over the NATS protocol; all brokers of a row"
            " took turns, and have ECDSA P-256 certificates.\n\n" + tls_table(tls)
        )
    if connects:
        parts.append(
            "## Connecting\n\nOne client at a time, up to the answer to its login; over TLS with a full"
            " handshake.\n\n" + connects_table(connects)
        )
    if timed:
        parts.append("## Latency\n\nMedians of the rounds.\n\n" + latency_table(timed))
    if idle:
        parts.append("## Idle connections, one subscription each\n\n" + idle_table(idle))
    if batch:
        single = {run.name: run for run in others}
        parts.append("## blipmq, several messages per frame\n\n" + batch_table(batch, single))
    if cores:
        parts.append(
            "## blipmq, CPU-ns per delivery with one executor and with two\n\n"
            "The second executor shares the generator's CPU, so rates mean little here.\n\n"
            + executors_table(cores)
        )
    if sends:
        parts.append(
            "## What the floor sends\n\n"
            "The floor sends the same frames as blipmq; in a fan-out, in chunks of the mean size of"
            " blipmq's sends, which a short run before measured by blipmq's metrics.\n\n"
            + chunk_table(sends)
        )
    return "\n".join(parts)


# --- plots, in the style of `blipmq bench --plot` ---

COLOURS = ["#0a84c6", "#e07b00", "#16a085", "#c2478f", "#8c7ae6", "#a0783c"]
WIDTH, LEFT, RIGHT = 900, 90, 20


def svg(height, title, body):
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" \
height="{height}" font-family="system-ui, sans-serif" font-size="12">
<style>
svg {{ color: #1c1c1e; background: #ffffff; }}
@media (prefers-color-scheme: dark) {{ svg {{ color: #e8e8ea; background: #16181c; }} }}
text {{ fill: currentColor; }}
.grid {{ stroke: currentColor; stroke-opacity: 0.15; }}
.axis {{ stroke: currentColor; stroke-opacity: 0.6; }}
.line {{ fill: none; stroke-width: 1.8; stroke-linejoin: round; }}
</style>
<text x="{LEFT}" y="24" font-size="15">{escape(title)}</text>
{body}</svg>
"""


def legend(names):
    text, x = "", LEFT
    for at, name in enumerate(names):
        colour = COLOURS[at % len(COLOURS)]
        text += (
            f'<path class="line" stroke="{colour}" d="M{x} 44h18"/>'
            f'<text x="{x + 24}" y="48">{escape(name)}</text>\n'
        )
        x += 50 + 7 * len(name)
    return text


def bars(title, runs):
    """Draws a group of bars per shape, each with its own scale from zero."""
    names, left, bar, y = names_of(runs), 190, 15, 70
    body = legend(names)
    for run in runs:
        measured = [(name, run.values(name, CPU)) for name in run.targets]
        measured = [(name, statistics.median(values)) for name, values in measured if values]
        largest = max((value for _, value in measured), default=1) or 1
        middle = y + bar * len(measured) / 2
        body += f'<text x="{left - 10}" y="{middle + 4:.1f}" text-anchor="end">{escape(run.title)}</text>\n'
        for name, value in measured:
            colour = COLOURS[names.index(name) % len(COLOURS)]
            width = (WIDTH - RIGHT - 90 - left) * value / largest
            body += (
                f'<rect x="{left}" y="{y}" width="{width:.1f}" height="{bar - 3}" fill="{colour}"/>'
                f'<text x="{left + width + 6:.1f}" y="{y + 10}">{digits(value)} ns</text>\n'
            )
            y += bar
        y += 16
    body += f'<path class="axis" d="M{left} 62V{y - 10}"/>\n'
    return svg(y + 10, title, body)


def log_steps(low, high):
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    return [10.0**power for power in range(first, max(last, first + 1) + 1)]


def round_step(step):
    """Rounds a step up to 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(step))
    return next((f * power for f in (1, 2, 5) if f * power >= step * 0.999), 10 * power)


def lines(title, x_name, series, show_x=count):
    """Draws CPU-ns per delivery over a number; `series` maps names to points (x, ns)."""
    top, height = 70, 280
    bottom, right = top + height, WIDTH - RIGHT
    points = [point for line in series.values() for point in line]
    body = legend(series)
    if not points:
        return svg(bottom + 60, title, body + f'<text x="{LEFT}" y="{top + 40}">nothing was measured</text>\n')
    # The x axis is logarithmic; zero is drawn one decade before the first other value.
    xs = sorted({x for x, _ in points})
    above_zero = [x for x in xs if x > 0] or [1]
    x_first = min(above_zero) / (10 if 0 in xs else 1)
    x_span = math.log(max(above_zero) / x_first) or 1.0
    low, high = min(ns for _, ns in points), max(ns for _, ns in points)
    by_factor = low > 0 and high / low > 30
    if by_factor:
        ticks = log_steps(low, high)
    else:
        step = round_step(max(high, 1e-9) / 5)
        ticks = [step * at for at in range(math.ceil(high / step - 1e-9) + 1)]

    def place_x(x):
        return LEFT + 20 + (right - LEFT - 40) * math.log(max(x, x_first) / x_first) / x_span

    def place_y(ns):
        if by_factor:
            part = math.log(ns / ticks[0]) / math.log(ticks[-1] / ticks[0])
        else:
            part = ns / ticks[-1]
        return bottom - height * part

    for tick in ticks:
        y = place_y(tick)
        body += (
            f'<path class="grid" d="M{LEFT} {y:.1f}H{right}"/>'
            f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{digits(tick)}</text>\n'
        )
    for x in xs:
        at = place_x(x)
        body += (
            f'<path class="grid" d="M{at:.1f} {top}V{bottom}"/>'
            f'<text x="{at:.1f}" y="{bottom + 18}" text-anchor="middle">{escape(show_x(x))}</text>\n'
        )
    body += (
        f'<path class="axis" fill="none" d="M{LEFT} {top}V{bottom}H{right}"/>\n'
        f'<text x="{(LEFT + right) / 2}" y="{bottom + 40}" text-anchor="middle">{escape(x_name)}</text>\n'
        f'<text transform="translate(18 {(top + bottom) / 2}) rotate(-90)" text-anchor="middle">'
        "CPU-ns per delivery</text>\n"
    )
    for at, line in enumerate(series.values()):
        colour = COLOURS[at % len(COLOURS)]
        path = " ".join(f"{place_x(x):.1f},{place_y(ns):.1f}" for x, ns in line)
        body += f'<polyline class="line" stroke="{colour}" points="{path}"/>\n'
        for x, ns in line:
            body += f'<circle cx="{place_x(x):.1f}" cy="{place_y(ns):.1f}" r="2.5" fill="{colour}"/>\n'
    return svg(bottom + 60, title, body)


# --- growth ---


@dataclass
class Curve:
    """Runs of one shape that differ in one number; their names are CURVE.NUMBER."""

    name: str
    points: list[tuple[int, Run]] = field(default_factory=list)

    @property
    def title(self):
        return self.points[0][1].title

    @property
    def runs(self):
        return [run for _, run in self.points]

    def show_x(self, x):
        return size(x).replace(".00", "").replace(".0 ", " ") if self.name == "size" else f"{x:,}"

    def series(self):
        """Returns the points of each target."""
        found = {}
        for name in names_of(self.runs):
            values = [(x, run.values(name, CPU)) for x, run in self.points]
            found[name] = [(x, statistics.median(ns)) for x, ns in values if ns]
        return found


def curves_of(runs):
    curves = {}
    for run in runs:
        name, _, number = run.name.rpartition(".")
        curves.setdefault(name, Curve(name)).points.append((int(number), run))
    return list(curves.values())


def curve_table(curve):
    names = names_of(curve.runs)
    brokers = [name for name in names if name != "floor"]
    first = brokers[0]
    header = [curve.name, *names]
    if "floor" in names:
        header.append(f"{first} / floor")
    header += [f"to the first: {first}", f"deliveries/s: {first}", *brokers[1:]]
    header += ["broker memory", "clean", "limited by"]
    base = curve.points[0][1].values(first, CPU)
    rows = []
    for x, run in curve.points:
        cpu = run.values(first, CPU)
        row = [curve.show_x(x), *(spread(run.values(name, CPU)) for name in names)]
        if "floor" in names:
            row.append(ratio(cpu, run.values("floor", CPU)))
        # The runs have no common rounds, so this ratio is one of medians.
        both = cpu and base and statistics.median(base) > 0
        row.append(f"{digits(statistics.median(cpu) / statistics.median(base))}x" if both else "-")
        row += [median(run.values(name, RATE), count) for name in brokers]
        row.append(median(run.values(first, "broker_resident_bytes"), size))
        rows.append([*row, clean(run), limited_by(run)])
    return table(header, rows)


def growth(curves):
    """Returns the tables of growth.md."""
    parts = []
    for curve in curves:
        parts.append(
            f"## {curve.title}\n\nCPU-ns per delivery: medians, with the minimum and the maximum of"
            f" the rounds.\n\n{curve_table(curve)}\n![{curve.title}](growth-{curve.name}.svg)\n"
        )
    return "\n".join(parts)


# --- profiles ---


def profiles_table(runs):
    """Formats runs with the same title; each has one profile, or all."""
    header = ["profile", "CPU-ns per delivery", "deliveries/s", "p50", "p99", "broker memory"]
    header += ["clean", "limited by"]
    rows = []
    for name in names_of(runs):
        own = [run for run in runs if name in run.targets]

        def values(key):
            return [value for run in own for value in run.values(name, key)]

        row = [name, spread(values(CPU)), median(values(RATE), count)]
        row += [median(values(f"latency_{key}_us"), micros) for key in ("p50", "p99")]
        row.append(median(values("broker_resident_bytes"), size))
        faults = [clean(run, [name]) for run in own if clean(run, [name]) != "yes"]
        limits = dict.fromkeys(limited_by(run, [name]) for run in own)
        rows.append([*row, faults[0] if faults else "yes", "; ".join(limits)])
    return table(header, rows)


def profiles(runs):
    """Returns the text of table.md, with a table per title."""
    parts = ["Medians of the rounds, for CPU time with the minimum and the maximum."]
    for title in dict.fromkeys(run.title for run in runs):
        parts.append(f"## {title}\n\n" + profiles_table([run for run in runs if run.title == title]))
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


# --- pair ---


def pair(runs):
    """Returns the text of table.md, with a row per shape and protocol."""
    header = ["shape", "protocol", "before", "after", "after / before", "of the rounds"]
    header += ["p50: before", "after", "p99: before", "after", "clean", "limited by"]
    rows = []
    for run in runs:
        cpu = [run.values(name, CPU) for name in ("before", "after")]
        each = ratios(cpu[1], cpu[0])
        prefix = run.name.partition("_")[0]
        protocol = {"nats": "NATS", "blips": "BLIP/1, TLS", "tls": "NATS, TLS"}.get(prefix, "BLIP/1")
        row = [run.title, protocol, *map(spread, cpu)]
        row += [ratio(cpu[1], cpu[0]), f"{digits(min(each))}-{digits(max(each))}" if each else "-"]
        for key in ("latency_p50_us", "latency_p99_us"):
            for name in ("before", "after"):
                # A throughput run fills queues by design, so its latency means nothing.
                timed = run.values(name, key) if run.mode in ("latency", "rtt") else []
                row.append(median(timed, micros))
        rows.append([*row, clean(run), limited_by(run)])
    return (
        "Broker CPU per delivery, in nanoseconds: medians, with the minimum and the maximum of the rounds;"
        " a ratio is the median of the rounds' ratios.\n\n" + table(header, rows)
    )


def main(arguments):
    if len(arguments) != 2 or arguments[0] not in ("compare", "growth", "profiles", "pair"):
        print("usage: report.py compare|growth|profiles|pair DIR", file=sys.stderr)
        return 2
    folder = Path(arguments[1])
    file = folder / ("growth/runs.tsv" if arguments[0] == "growth" else "runs.tsv")
    runs = read_runs(file.read_text(), load_from(file.parent))
    if arguments[0] in ("profiles", "pair"):
        text = profiles(runs) if arguments[0] == "profiles" else pair(runs)
        (folder / "table.md").write_text(text)
        return 0
    if arguments[0] == "compare":
        (folder / "table.md").write_text(compare(runs))
        of_cpu = [run for run in runs if "blip" in run.targets and run.mode in ("throughput", "latency")]
        of_cpu = [run for run in of_cpu if not run.name.startswith(("batch_", "nats_", "tls_"))]
        if of_cpu:
            picture = bars("Broker CPU per delivery; each shape has its own scale", of_cpu)
            (folder / "cpu.svg").write_text(picture)
        return 0
    curves = curves_of(runs)
    for curve in curves:
        picture = lines(curve.title, curve.name, curve.series(), curve.show_x)
        (folder / f"growth-{curve.name}.svg").write_text(picture)
    # Appended to the description of the measurement, which growth.sh has written.
    with (folder / "growth.md").open("a") as text:
        text.write("\n" + growth(curves))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
