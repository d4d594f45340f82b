"""The tools of the checks of deploy/: the source of each tool, and the ways a check can end.

Used by check.py and its checks. Nothing is installed on the machine: Python packages go into a venv,
Debian's are unpacked, both under target/deploy-tools, so that no service starts and a second run is
quick. A tool that is not available skips the checks that need it, with the reason.
"""

import os
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
HERE = ROOT / "tests" / "deploy"
TOOLS = ROOT / "target" / "deploy-tools"
VENV = TOOLS / "venv"


class Skipped(Exception):
    """The check cannot run on this machine."""


class Failed(Exception):
    """The check found a mistake."""


def run(command, timeout=120, **options):
    """Runs a command; returns the exit status, and stdout and stderr together."""
    result = subprocess.run(
        [str(part) for part in command],
        stdin=None if "input" in options else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
        check=False,
        **options,
    )
    return result.returncode, result.stdout


def must(command, **options):
    """Runs a command that must succeed; returns its output."""
    status, said = run(command, **options)
    if status != 0:
        name = pathlib.Path(str(command[0])).name
        raise Failed(f"{name} ended with {status}:\n{said.strip()}")
    return said


def expect(condition, text):
    if not condition:
        raise Failed(text)


def enter_venv():
    """Continues under the Python of the venv; packages that cannot be installed are left out."""
    python = VENV / "bin" / "python"
    if pathlib.Path(sys.prefix) == VENV:
        return
    if not python.exists():
        status, said = run([sys.executable, "-m", "venv", VENV])
        if status != 0:
            shutil.rmtree(VENV, ignore_errors=True)
            sys.exit(f"check.py: no venv can be made for the tools:\n{said}")
    wanted = (HERE / "requirements.txt").read_text()
    done = VENV / "installed"
    if not done.exists() or done.read_text() != wanted:
        lines = [line for line in wanted.splitlines() if line and not line.startswith("#")]
        everything = True
        for line in lines:
            status, said = run([python, "-m", "pip", "install", "--quiet", line], timeout=300)
            if status != 0:
                everything = False
                print(f"{line} could not be installed: {said.strip().splitlines()[-1:]}", flush=True)
        if everything:
            done.write_text(wanted)
    os.execv(python, [str(python), *sys.argv])


def program_of_venv(name):
    path = VENV / "bin" / name
    if not path.exists():
        raise Skipped(f"{name} could not be installed from PyPI")
    return path


def apt_options(suite):
    """Options of apt-get for another release of Debian than the machine's, with separate lists, from the
    mirror of the machine."""
    home = TOOLS / f"apt-{suite}"
    for folder in ("lists/partial", "cache/archives/partial"):
        (home / folder).mkdir(parents=True, exist_ok=True)
    keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
    format_ = "$(REPO_URI) $(ORIGIN) $(LABEL)"
    _, said = run(["apt-get", "indextargets", "--format", format_, "Identifier: Packages"])
    mirrors = [line.split()[0] for line in said.splitlines() if line.endswith(" Debian Debian")]
    if not mirrors or not pathlib.Path(keyring).exists():
        raise Skipped(f"this machine has no source of Debian packages to look for {suite} at")
    (home / "list").write_text(f"deb [signed-by={keyring}] {mirrors[0]} {suite} main\n")
    options = [
        f"Dir::Etc::SourceList={home}/list",
        "Dir::Etc::SourceParts=/dev/null",
        f"Dir::State::Lists={home}/lists",
        f"Dir::Cache={home}/cache",
    ]
    return [word for option in options for word in ("-o", option)]


def debian(package, file, suite=None):
    """A file of a Debian package, which is unpacked but not installed."""
    folder = TOOLS / package
    if (folder / file).exists():
        return folder / file
    if not shutil.which("apt-get") or not shutil.which("dpkg"):
        raise Skipped(f"{package} is a Debian package, and there is no apt-get here")
    options = apt_options(suite) if suite else []
    archives = TOOLS / "archives" / package
    shutil.rmtree(archives, ignore_errors=True)
    archives.mkdir(parents=True)
    download = ["apt-get", *options, "download", package]
    status, said = run(download, cwd=archives, timeout=300)
    if status != 0:
        run(["apt-get", *options, "update"], timeout=300)
        status, said = run(download, cwd=archives, timeout=300)
    found = list(archives.glob("*.deb"))
    if status != 0 or not found:
        raise Skipped(f"Debian's {package} could not be fetched: {said.strip().splitlines()[-1:]}")
    must(["dpkg", "-x", found[0], folder])
    if not (folder / file).exists():
        raise Skipped(f"Debian's {package} has no {file}")
    return folder / file


def promtool():
    return debian("prometheus", "usr/bin/promtool")


def broker():
    """The binary that `cargo test` has built."""
    path = pathlib.Path(os.environ.get("BLIPMQ", ROOT / "target" / "debug" / "blipmq"))
    if not path.exists():
        raise Skipped(f"{path} is not built: cargo build --bin blipmq")
    return path.resolve()
