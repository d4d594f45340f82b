#!/usr/bin/env python3
"""Makes the seccomp profiles for containers from Docker's default profile.

    deploy/make-seccomp.py default.json            writes both profiles
    deploy/make-seccomp.py --check default.json    checks that both profiles are up to date
    deploy/make-seccomp.py --check                 the same without default.json, by its checksum

Docker's default has not allowed io_uring since Docker 25, and BlipMQ needs it. The profiles:

    deploy/seccomp.json              Docker's default and one rule more, for Docker, Podman, Compose
    deploy/kubernetes/seccomp.json   the same for Kubernetes, whose runtimes read the plain form only:
                                     without rules for capabilities, as the pod has none, and
                                     without architectures that BlipMQ does not run on

default.json is profiles/seccomp/default.json of moby 26.1.5; deploy/seccomp.NOTICE has its origin and
licence. To move to a later version, run this script with it and put its checksum below.
"""

import argparse
import hashlib
import json
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
DOCKER = HERE / "seccomp.json"
KUBERNETES = HERE / "kubernetes" / "seccomp.json"

# SHA-256 of Docker's profile in the form of `canonical`, so that indentation does not count.
UPSTREAM_SHA256 = "885442dc08f21f8d60f99ea43d59af88b1c529103815fe24bbf9ce998d3a609d"

OURS = {
    "names": ["io_uring_enter", "io_uring_register", "io_uring_setup"],
    "action": "SCMP_ACT_ALLOW",
    "comment": "added for BlipMQ: everything else is the default profile of Docker 26.1.5",
}
# The architectures of BlipMQ, by the names of Docker and of libseccomp.
ARCHITECTURES = {"amd64": "SCMP_ARCH_X86_64", "arm64": "SCMP_ARCH_AARCH64"}


def canonical(profile):
    return json.dumps(profile, sort_keys=True, separators=(",", ":")).encode()


def checksum(profile):
    return hashlib.sha256(canonical(profile)).hexdigest()


def for_docker(upstream):
    """Docker's own format: rules with conditions that the engine evaluates."""
    return {**upstream, "syscalls": [*upstream["syscalls"], OURS]}


def without_ours(profile):
    """Docker's default profile, recovered from the result of `for_docker`."""
    return {**profile, "syscalls": [rule for rule in profile["syscalls"] if rule != OURS]}


def applies(rule):
    """Whether a rule holds for a container without capabilities, on Linux 6.1 or later."""
    wanted, unwanted = rule.get("includes", {}), rule.get("excludes", {})
    if wanted.get("caps"):
        return False
    if "arches" in wanted and not ARCHITECTURES.keys() & set(wanted["arches"]):
        return False
    return not ARCHITECTURES.keys() <= set(unwanted.get("arches", []))


def for_kubernetes(docker):
    """The format of OCI. Its runtimes ignore `includes` and `excludes`, and so would allow every process
    what Docker allows with CAP_SYS_ADMIN only: the conditions are evaluated here."""
    rules = [
        {key: value for key, value in rule.items() if key not in ("includes", "excludes", "comment")}
        for rule in docker["syscalls"]
        if applies(rule)
    ]
    return {
        "defaultAction": docker["defaultAction"],
        "defaultErrnoRet": docker["defaultErrnoRet"],
        "architectures": list(ARCHITECTURES.values()),
        "syscalls": rules,
    }


def refuse(text):
    sys.exit(f"make-seccomp.py: {text}")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("upstream", nargs="?", type=pathlib.Path, help="Docker's default.json")
    parser.add_argument("--check", action="store_true", help="write nothing, compare")
    options = parser.parse_args()
    if options.upstream:
        upstream = json.loads(options.upstream.read_text())
        if checksum(upstream) != UPSTREAM_SHA256:
            refuse(
                f"{options.upstream} has the checksum {checksum(upstream)}, expected is "
                f"{UPSTREAM_SHA256}: it is another version; read what changed, then put its "
                "checksum into this script and its version into seccomp.NOTICE"
            )
    elif options.check:
        upstream = without_ours(json.loads(DOCKER.read_text()))
        if checksum(upstream) != UPSTREAM_SHA256:
            refuse(f"{DOCKER} without our rule is not Docker's default: {checksum(upstream)}")
    else:
        parser.error("give Docker's default.json, or --check")
    docker = for_docker(upstream)
    for file, profile in ((DOCKER, docker), (KUBERNETES, for_kubernetes(docker))):
        text = json.dumps(profile, indent=2) + "\n"
        if not options.check:
            file.write_text(text)
            print(f"wrote {file}")
        elif file.read_text() != text:
            refuse(f"{file} is not what this script makes from Docker's default; run it without --check")
    if options.check:
        print("seccomp.json and kubernetes/seccomp.json are Docker's default and io_uring")


if __name__ == "__main__":
    main()
