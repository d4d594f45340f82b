#!/usr/bin/env bash
# Reserves huge pages of 2 MiB, and lets programs ask for transparent huge pages.
set -euo pipefail

# shellcheck source-path=SCRIPTDIR source=changes.sh
. "$(dirname "${BASH_SOURCE[0]}")/changes.sh"

readonly PAGES_DEFAULT=512

usage() {
    cat <<EOF
Usage: hugepages.sh [--dry-run] [PAGES]
       hugepages.sh [--dry-run] --undo

Reserves PAGES huge pages of 2 MiB (default ${PAGES_DEFAULT}, which is 1 GiB; 0 gives them back),
sets transparent huge pages to "madvise", and shows both settings before and after. Needs root.

  --dry-run   print what would be done, change nothing; needs no root
  --undo      restore both settings from before the first run since the boot
  --help      this text

The broker's allocator takes reserved pages when it is started with
    MIMALLOC_ALLOW_LARGE_OS_PAGES=1 blipmq --config FILE
Reserved memory is not available for anything else. All of this lasts until the next boot; to keep
it, put vm.nr_hugepages = PAGES into /etc/sysctl.d and transparent_hugepage=madvise on the kernel's
command line.

Until --undo the earlier settings are in /run/blipmq/hugepages.before.

Environment: SYSFS (default /sys), MEMINFO (default /proc/meminfo) and STATE_DIR (default
/run/blipmq), for tests.
EOF
}

take_arguments "number of pages" "$@"
pages=${given:-$PAGES_DEFAULT}
[[ "$pages" =~ ^(0|[1-9][0-9]{0,8})$ ]] ||
    fail "\"$pages\" is not a number of pages; give a whole number, like $PAGES_DEFAULT" 2

readonly sysfs=${SYSFS:-/sys}
readonly reserved=$sysfs/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages
readonly transparent=$sysfs/kernel/mm/transparent_hugepage/enabled

[ -e "$reserved" ] ||
    fail "$reserved is missing: this kernel has no huge pages of 2 MiB (CONFIG_HUGETLBFS)"

transparent_mode() {
    # The active mode is in brackets: always [madvise] never.
    if [ -e "$transparent" ]; then
        sed -E 's/.*\[(.*)\].*/\1/' "$transparent"
    else
        echo "not in this kernel"
    fi
}

show() {
    local count
    count=$(cat "$reserved")
    echo "$1: $count huge pages reserved ($((count * 2)) MiB)," \
        "transparent huge pages: $(transparent_mode)"
}

set_value() {
    local file=$1 before=$2 value=$3
    change_file "$file" "$before" "$value" ||
        fail "cannot write $value to $file; run as root on the machine itself, not in a container"
}

show before

already=$(cat "$reserved")
if [ "$already" -eq "$pages" ]; then
    echo "reserved already: $pages pages"
else
    available_kib=$(awk '$1 == "MemAvailable:" { print $2 }' "${MEMINFO:-/proc/meminfo}")
    wanted_kib=$(((pages - already) * 2048))
    # The kernel would try, and reclaim the memory of everything else for it.
    [ "$wanted_kib" -le "${available_kib:-0}" ] ||
        fail "$pages pages need $((wanted_kib / 1024)) MiB more, $((${available_kib:-0} / 1024)) MiB are available; ask for fewer"
    set_value "$reserved" "$already" "$pages"
fi

if [ ! -e "$transparent" ]; then
    echo "transparent huge pages are not in this kernel, left alone"
elif [ "$(transparent_mode)" = madvise ]; then
    echo "transparent huge pages are at madvise already"
else
    # Not "always": that gives every program's small mappings 2 MiB each, and stalls to find them.
    set_value "$transparent" "$(transparent_mode)" madvise
fi

$dry_run && exit 0
show after

now=$(cat "$reserved")
[ "$now" -ge "$pages" ] ||
    fail "only $now of $pages pages could be reserved, memory is fragmented; try again right after a boot, or put hugepages=$pages on the kernel's command line"
