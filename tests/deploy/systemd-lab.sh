#!/usr/bin/env bash
# Starts blipmq.service under a real systemd, in separate namespaces, and records the outcome.
#
#   tests/deploy/systemd-lab.sh BROKER FOLDER [LINE...]
#
# BROKER becomes /usr/local/bin/blipmq; LINES are a drop-in for the unit. At the end FOLDER has the files
# "said", with a line NAME VALUE for each answer, and "log", the log of the broker. Needs root, systemd, and
# control groups of version 2. Exit status 3: a systemd cannot run here.
#
# The root is this machine's, read only, under a layer in memory; processes, network, mounts and control
# groups are new. /proc/sys and /sys cannot be written, which keeps systemd from changing kernel settings.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

cannot() {
    echo "systemd-lab.sh: $1" >&2
    exit 3
}

# --- in the namespaces: lays the root out and becomes systemd ---

become_systemd() {
    local broker=$1 folder=$2 root=$2/root name kind
    shift 2
    mount --make-rprivate /
    mkdir "$folder/layer" "$root"
    mount -t tmpfs tmpfs "$folder/layer"
    mkdir "$folder/layer/upper" "$folder/layer/work"
    mount -t overlay overlay -o "lowerdir=/,upperdir=$folder/layer/upper,workdir=$folder/layer/work" "$root"
    mount -t proc proc "$root/proc"
    mount --bind "$root/proc/sys" "$root/proc/sys"
    mount -o remount,ro,bind "$root/proc/sys"
    mount -t sysfs sysfs "$root/sys"
    mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
    mount -o remount,ro,bind "$root/sys"
    mount -t tmpfs -o mode=755 tmpfs "$root/run"
    mount -t tmpfs tmpfs "$root/tmp"
    mount -t tmpfs -o mode=755 tmpfs "$root/dev"
    while read -r name kind; do
        # shellcheck disable=SC2086 # two numbers
        mknod -m 666 "$root/dev/$name" c $kind
    done <<<$'null 1 3\nzero 1 5\nfull 1 7\nrandom 1 8\nurandom 1 9\ntty 5 0'
    mkdir "$root/dev/pts" "$root/dev/shm"
    mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
    ln -s pts/ptmx "$root/dev/ptmx"
    ln -s /proc/self/fd "$root/dev/fd"
    mkdir -p "$root/lab" "$root/usr/local/bin" "$root/etc/blipmq"
    mount --bind "$folder/out" "$root/lab"
    # An installed broker is hidden, not changed.
    rm -f "$root/usr/local/bin/blipmq"
    touch "$root/usr/local/bin/blipmq"
    mount --bind "$broker" "$root/usr/local/bin/blipmq"
    cp "$here/../../config/mixed.toml" "$root/etc/blipmq/blipmq.toml"

    local units=$root/etc/systemd/system
    rm -rf "${units:?}"/*
    mkdir -p "$units/blipmq.service.d"
    cp "$here/../../deploy/blipmq.service" "$units/"
    {
        printf '[Service]\nStandardOutput=append:/lab/log\nStandardError=append:/lab/log\n'
        printf '%s\n' "$@"
    } >"$units/blipmq.service.d/lab.conf"
    # Services that a machine needs at its boot, and this one does not.
    for name in journald udevd tmpfiles-setup tmpfiles-setup-dev sysusers update-utmp random-seed \
        remount-fs journal-flush; do
        ln -s /dev/null "$units/systemd-$name.service"
    done
    printf '[Unit]\nWants=blipmq.service probe.service\n' >"$units/lab.target"
    cp "$here/systemd-probe.sh" "$root/usr/local/bin/probe"
    cat >"$units/probe.service" <<'UNIT'
[Unit]
DefaultDependencies=no
[Service]
Type=oneshot
ExecStart=/bin/bash /usr/local/bin/probe
StandardOutput=append:/lab/said
StandardError=append:/lab/said
UNIT
    cd "$root"
    mkdir -p old
    pivot_root . old
    cd /
    umount -l /old
    exec env -i container=blipmq-lab PATH=/usr/sbin:/usr/bin:/sbin:/bin \
        /lib/systemd/systemd --system --unit=lab.target --show-status=no </dev/null >/dev/null 2>&1
}

if [ "${1:-}" = --inside ]; then
    shift
    become_systemd "$@"
fi

# --- outside ---

broker=$(realpath "$1")
folder=$(realpath "$2")
shift 2
[ "$(id -u)" -eq 0 ] || cannot "namespaces need root"
[ -x /lib/systemd/systemd ] || cannot "systemd is not installed"
groups=""
for candidate in /sys/fs/cgroup /sys/fs/cgroup/unified; do
    if [ -e "$candidate/cgroup.controllers" ]; then groups=$candidate; fi
done
[ -n "$groups" ] || cannot "there are no control groups of version 2"
group=$groups/blipmq-lab-$$
mkdir "$group" 2>/dev/null || cannot "no control group can be made in $groups"
# shellcheck disable=SC2329 # called by the trap
clean() { find "$group" -depth -type d -exec rmdir {} \; 2>/dev/null || true; }
trap clean EXIT
mkdir "$folder/out"
: >"$folder/out/said"
status=0
# systemd is process 1 of the namespace: when unshare ends, all processes end. No clean end is needed.
(
    echo "$BASHPID" >"$group/cgroup.procs"
    exec timeout --kill-after=5 120 unshare --cgroup \
        unshare --mount --pid --uts --ipc --net --fork --kill-child \
        bash "$here/systemd-lab.sh" --inside "$broker" "$folder" "$@"
) || status=$?
mv "$folder/out/said" "$folder/said"
if [ -e "$folder/out/log" ]; then mv "$folder/out/log" "$folder/log"; fi
[ -s "$folder/said" ] || cannot "systemd did not come up (status $status)"
