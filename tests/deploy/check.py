#!/usr/bin/env python3
"""Checks everything in deploy/ that is not a script: tests/deploy/check.py

tests/deploy/main.rs tests the scripts, and shellcheck lints them. These checks are in Python, since most of
them read YAML and JSON, and not in deploy/, since operators copy that folder.

The program prints one line for each check: "ok", "FAILED" or, if a tool is not available, "SKIPPED: NAME:
REASON", which .ci/run repeats. The exit status is 1 if a check failed. With a NAME only that check runs; with
--prepare no check runs, and the tools are fetched.

Tools come from PyPI and Debian, see tools.py. The broker is target/debug/blipmq, or $BLIPMQ.
"""

import sys

import tools

tools.enter_venv()

try:
    import containers
    import running
    import written
except ImportError as error:
    print(f"SKIPPED: everything in deploy/: {error}, and PyPI did not give it")
    sys.exit(0)


def prepare():
    """Fetches what the checks would fetch one by one. What cannot be had is for the checks to report."""
    for fetch in (tools.promtool, containers.runc, written.docker_seccomp, written.docker_compose):
        try:
            fetch()
        except (tools.Skipped, tools.Failed) as reason:
            print(reason, flush=True)


def main():
    chosen = sys.argv[1:]
    if chosen == ["--prepare"]:
        prepare()
        return 0
    checks = written.ALL + running.ALL
    unknown = set(chosen) - {check.__name__ for check in checks}
    if unknown:
        sys.exit(f"check.py: no check {', '.join(unknown)}: {' '.join(check.__name__ for check in checks)}")
    failed = 0
    for check in checks:
        name = check.__name__
        if chosen and name not in chosen:
            continue
        try:
            check()
            print(f"ok       {name.replace('_', ' ')}", flush=True)
        except tools.Skipped as reason:
            print(f"SKIPPED: {name.replace('_', ' ')}: {reason}", flush=True)
        except tools.Failed as reason:
            failed += 1
            print(f"FAILED   {name}: {reason}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
