#!/usr/bin/env python3
"""The dashboard in a headless Chromium: against a fake broker, or a real one with traffic.

    run.py                                against the fake broker
    run.py --binary target/debug/blipmq   against that binary, started here, with traffic and losses
    run.py --url http://127.0.0.1:9090    against a running broker, which it only reads

Installs Python packages below target/dashboard; Chromium must be installed, as by
`apt-get install chromium`, or be at $CHROMIUM. Screenshots are written to target/dashboard.
Exit status: 0 all passed, 1 a failure, 2 a wrong command line.
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
TARGET = HERE.parents[1] / "target/dashboard"
VENV = TARGET / "venv"
# The names of Chromium in distributions.
CHROMIUM = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")


class Missing(Exception):
    """A tool or a package that is not available."""


def chromium():
    """The path of Chromium."""
    named = os.environ.get("CHROMIUM")
    found = shutil.which(named) if named else next(filter(None, map(shutil.which, CHROMIUM)), None)
    if not found:
        looked = named or ", ".join(CHROMIUM)
        raise Missing(f"Chromium is missing (looked for {looked}); `apt-get install chromium`")
    return found


def install(*command):
    done = subprocess.run(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=sys.stderr)
    if done.returncode:
        raise Missing(f"`{' '.join(map(str, command))}` failed with status {done.returncode}")


def prepare():
    """Installs packages, unless they are installed in the right version."""
    chromium()
    if sys.version_info < (3, 11):
        raise Missing(f"Python 3.11 is needed, this is {sys.version.split()[0]}")
    python = VENV / "bin/python"
    wanted = (HERE / "requirements.txt").read_text()
    done = VENV / "installed.txt"
    if done.exists() and done.read_text() == wanted and python.exists():
        return
    shutil.rmtree(VENV, ignore_errors=True)
    install(sys.executable, "-m", "venv", VENV)
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    install(*pip, "--requirement", HERE / "requirements.txt")
    done.write_text(wanted)


def arguments(given=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    against = parser.add_mutually_exclusive_group()
    against.add_argument("--binary", type=Path, help="start this broker, and make traffic")
    against.add_argument("--url", help="the page of a running broker, such as http://127.0.0.1:9090")
    against.add_argument("--prepare", action="store_true", help="install, run nothing")
    parser.add_argument("--only", metavar="TEXT", help="tests whose name has this text")
    return parser.parse_args(given)


def command(chosen):
    """The command that runs the tests in the venv."""
    tests = [str(VENV / "bin/python"), str(HERE / "tests.py")]
    if chosen.only:
        tests += ["--only", chosen.only]
    if chosen.binary:
        tests += ["--binary", str(chosen.binary.resolve())]
    if chosen.url:
        tests += ["--url", chosen.url]
    return tests


def main():
    chosen = arguments()
    try:
        if chosen.binary and not os.access(chosen.binary, os.X_OK):
            raise Missing(f"{chosen.binary} is not a program; `cargo build --bin blipmq` builds it")
        prepare()
        if chosen.prepare:
            return 0
        environment = {**os.environ, "CHROMIUM": chromium()}
    except Missing as why:
        print(f"run.py: {why}", file=sys.stderr)
        return 1
    return subprocess.run(command(chosen), stdin=subprocess.DEVNULL, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())
