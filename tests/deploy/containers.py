"""Checks that run the broker in a real container under its seccomp profiles.

Called by check.py. The container is stopped by its own handle.
"""

import json
import os
import pathlib
import re
import shutil
import tempfile

from servers import PATIENCE_S, free_port, get, process, until
from tools import DEPLOY, Skipped, broker, debian, expect, must


def bundle(folder, arguments, profile):
    """An OCI container like those of compose.yaml and the manifest: no capabilities, an unprivileged
    user, no writable files, no new privileges, and a seccomp profile."""
    root = folder / "rootfs"
    binds = ["/usr", "/lib", "/lib64", "/bin"]
    mounts = [{"destination": "/proc", "type": "proc", "source": "proc"}]
    for path in binds:
        if pathlib.Path(path).exists():
            (root / path[1:]).mkdir(parents=True)
            bind = {"type": "bind", "source": os.path.realpath(path), "options": ["rbind", "ro"]}
            mounts.append({"destination": path, **bind})
    for path in ("proc", "sys", "dev", "blipmq"):
        (root / path).mkdir()
    mounts.append({"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["ro"]})
    shutil.copy(broker(), root / "blipmq" / "blipmq")
    shutil.copy(DEPLOY / "container.toml", root / "blipmq" / "blipmq.toml")
    sets = ("bounding", "effective", "permitted", "inheritable", "ambient")
    config = {
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 65532, "gid": 65532},
            "args": ["/blipmq/blipmq", *arguments],
            "cwd": "/",
            "env": ["PATH=/bin"],
            "noNewPrivileges": True,
            "capabilities": {name: [] for name in sets},
        },
        "root": {"path": "rootfs", "readonly": True},
        "mounts": mounts,
        # No network of its own, so that the check can reach the broker.
        "linux": {"namespaces": [{"type": kind} for kind in ("pid", "ipc", "mount")], "seccomp": profile},
    }
    (folder / "config.json").write_text(json.dumps(config))


def runc():
    if os.geteuid() != 0:
        raise Skipped("containers need root")
    return debian("runc", "usr/sbin/runc")


def served(profile):
    """Whether the broker serves in a container under a profile, and its log."""
    program = runc()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        folder.chmod(0o755)
        port = free_port()
        arguments = ["--config", "/blipmq/blipmq.toml", "--bind", "127.0.0.1:0"]
        arguments += ["--nats-bind", "127.0.0.1:0", "--metrics-bind", f"127.0.0.1:{port}"]
        bundle(folder, arguments, profile)
        # The name of the folder is unique among containers.
        identity = f"blipmq-{folder.name}"
        log = folder / "log"
        command = [program, "--root", folder / "state", "run", "--bundle", folder, identity]
        with process(command, log) as child:

            def answer():
                return child.poll() is not None or get(port, "/metrics")[0] == 200

            try:
                until(answer, child, log, "the broker neither served nor ended")
                serves = child.poll() is None
            finally:
                child.terminate()
                child.wait(PATIENCE_S)
        return serves, log.read_text()


def served_or_skipped(profile):
    """Serves under a profile; skips if not even a container without a profile can run here."""
    serves, said = served(profile)
    if not serves:
        without, why = served(None)
        if not without:
            raise Skipped(f"no container can be run here: {why.strip()[-300:]}")
    return serves, said


def container_runs_under_its_profile_and_not_under_docker_s():
    profile = json.loads((DEPLOY / "kubernetes" / "seccomp.json").read_text())
    serves, said = served_or_skipped(profile)
    expect(serves, f"the broker does not serve under kubernetes/seccomp.json: {said}")
    without = [rule for rule in profile["syscalls"] if "io_uring_setup" not in rule["names"]]
    serves, said = served({**profile, "syscalls": without})
    expect(not serves, "the broker serves under Docker's default profile, so its own profile is superfluous")
    expect("io_uring is forbidden here" in said, f"the broker does not say what it lacks: {said}")


def filter_of_the_unit():
    """The system calls that the unit's SystemCallFilter lines allow, according to systemd-analyze."""
    if not shutil.which("systemd-analyze"):
        raise Skipped("systemd-analyze is not installed")

    def calls(name):
        if not name.startswith("@"):
            return {name}
        found = set()
        for line in must(["systemd-analyze", "syscall-filter", name]).splitlines()[1:]:
            word = line.strip()
            if word and not word.startswith("#"):
                found |= calls(word)
        return found

    unit = (DEPLOY / "blipmq.service").read_text()
    # systemd itself allows these to every service with an allow list.
    allowed = calls("@default")
    for line in re.findall(r"^SystemCallFilter=(.*)$", unit, re.MULTILINE):
        for name in line.lstrip("~").split():
            allowed = allowed - calls(name) if line.startswith("~") else allowed | calls(name)
    return sorted(allowed)


def unit_s_filter_lets_io_uring_work():
    rule = {"names": filter_of_the_unit(), "action": "SCMP_ACT_ALLOW"}
    profile = {"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1, "syscalls": [rule]}
    serves, said = served_or_skipped(profile)
    expect(serves, f"the broker does not serve under the SystemCallFilter of blipmq.service: {said}")


ALL = [
    container_runs_under_its_profile_and_not_under_docker_s,
    unit_s_filter_lets_io_uring_work,
]
