#!/usr/bin/env python3
"""Attacks on a real broker over sockets of 127.0.0.1, and a verdict for each.

Each attack starts a broker of its own. Beside it a witness publishes and subscribes on topics of its
own, and /healthz is probed: what they notice is the verdict. Needs Python 3.11 and nothing else. Exit
status: 0 all held, 1 a verdict failed, 2 a wrong command line.
"""

import argparse
import json
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE))

import attacks_block  # noqa: E402, F401
import attacks_churn  # noqa: E402, F401
import attacks_faults  # noqa: E402, F401
import attacks_leftovers  # noqa: E402, F401
import attacks_memory  # noqa: E402, F401
import attacks_overload  # noqa: E402, F401
import attacks_slow  # noqa: E402, F401
import attacks_tls  # noqa: E402, F401
import attacks_work  # noqa: E402, F401
import scene  # noqa: E402

# Name of the figure, head of the column, how it is shown.
COLUMNS = [
    ("quiet_rate", "quiet/s", "{:,.0f}"),
    ("rate", "attack/s", "{:,.0f}"),
    ("share", "share", "{:.1%}"),
    ("silence_s", "silence", "{:.3f} s"),
    ("p99_s", "p99", "{:.4f} s"),
    ("healthz_worst_s", "healthz", "{:.3f} s"),
    ("cpu_share", "CPU", "{:.0%}"),
    ("rss_peak_mib", "RSS MiB", "{:,.0f}"),
]


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--binary", default=str(ROOT / "target/release/blipmq"))
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="a name or its beginning")
    parser.add_argument("--short", action="store_true", help="a minute of it, for CI")
    parser.add_argument("--json", metavar="FILE", help="all figures and checks")
    parser.add_argument("--list", action="store_true", help="list the attacks, run nothing")
    chosen = parser.parse_args()
    for wanted in chosen.only:
        if not selected([wanted], False):
            parser.error(f"no attack is called {wanted}; --list lists them")
    if not chosen.list and not Path(chosen.binary).is_file():
        parser.error(f"{chosen.binary} is not there: cargo build --release, or --binary PATH")
    return chosen


def selected(only, is_short):
    """The attacks to run, by section."""
    ordered = sorted(scene.ATTACKS.items(), key=lambda item: item[1].section)
    return [
        one
        for name, one in ordered
        if (one.is_short or not is_short or only)
        and (not only or any(name == wanted or name.startswith(wanted) for wanted in only))
    ]


def row(name, cells, verdict):
    return "  ".join([f"{name:<18}", *(f"{cell:>9}" for cell in cells), verdict])


def shown(outcome):
    figures = outcome.figures
    cells = [how.format(figures[key]) if key in figures else "-" for key, _, how in COLUMNS]
    lines = [row(outcome.name, cells, "FAILED" if outcome.failed() else "held")]
    return "\n".join(lines + [f"    {check}" for check in outcome.failed()])


def written(outcomes):
    """What the file of `--json` has."""
    return {
        outcome.name: {
            "summary": scene.ATTACKS[outcome.name].summary,
            "held": not outcome.failed(),
            "figures": outcome.figures,
            "checks": [vars(check) for check in outcome.checks],
        }
        for outcome in outcomes
    }


def main():
    chosen = arguments()
    attacks = selected(chosen.only, chosen.short)
    if chosen.list:
        for one in attacks:
            print(f"{one.section}  {one.name:<18} {one.summary}")
        return 0
    begun = time.monotonic()
    print(row("attack", [head for _, head, _ in COLUMNS], "verdict"), flush=True)
    outcomes = []
    for one in attacks:
        outcomes.append(scene.play(one, chosen.binary, chosen.short))
        print(shown(outcomes[-1]), flush=True)
        if chosen.json:
            Path(chosen.json).write_text(json.dumps(written(outcomes), indent=2) + "\n")
    failed = [outcome.name for outcome in outcomes if outcome.failed()]
    print(f"{len(outcomes) - len(failed)} held, {len(failed)} failed, {time.monotonic() - begun:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
