#!/usr/bin/env bash
# Sets the kernel settings of sysctl.d/60-blipmq.conf until the next boot.
set -euo pipefail

# shellcheck source-path=SCRIPTDIR source=changes.sh
. "$(dirname "${BASH_SOURCE[0]}")/changes.sh"

usage() {
    cat <<'EOF2'
Usage: sysctl.sh [--dry-run] [FILE]
       sysctl.sh [--dry-run] --undo

Applies the settings of FILE (default: sysctl.d/60-blipmq.conf beside this script) until the next boot.
Lowers nothing: a larger value of the machine stays. Needs root.

  --dry-run   print what would be done, change nothing; needs no root
  --undo      restore the settings from before the first run since the boot
  --help      this text

To keep the settings copy the file to /etc/sysctl.d; every boot reads it. To undo that, remove it
there. Until --undo the earlier settings are in /run/blipmq/sysctl.before.

Environment: PROCFS (default /proc) and STATE_DIR (default /run/blipmq), for tests.
EOF2
}

take_arguments "file" "$@"
file=${given:-$(dirname "${BASH_SOURCE[0]}")/sysctl.d/60-blipmq.conf}
[ -r "$file" ] || fail "cannot read $file"

# The larger value, number by number: a setting may have several numbers, like net.ipv4.tcp_rmem.
larger() {
    local -a now wanted
    local index
    read -ra now <<<"$1"
    read -ra wanted <<<"$2"
    for index in "${!wanted[@]}"; do
        if [ "${now[index]:-0}" -gt "${wanted[index]}" ]; then wanted[index]=${now[index]}; fi
    done
    echo "${wanted[*]}"
}

# Reads the whole file before any change: half of the settings are worse than none.
keys=() values=()
while IFS= read -r line; do
    [[ "$line" =~ ^[[:space:]]*([#\;]|$) ]] && continue
    [[ "$line" =~ ^([a-z0-9_.-]+)\ *=\ *([0-9]+(\ [0-9]+)*)\ *$ ]] ||
        fail "$file: \"$line\" is not KEY = NUMBERS; nothing was changed"
    keys+=("${BASH_REMATCH[1]}") values+=("${BASH_REMATCH[2]}")
done <"$file"

for index in "${!keys[@]}"; do
    key=${keys[index]}
    path=${PROCFS:-/proc}/sys/${key//.//}
    if [ ! -e "$path" ]; then
        echo "$key is not visible in this namespace, left alone"
        continue
    fi
    read -ra now <"$path"
    value=$(larger "${now[*]}" "${values[index]}")
    if [ "$value" = "${now[*]}" ]; then
        echo "$key is ${now[*]} already"
    elif change_file "$path" "${now[*]}" "$value"; then
        $dry_run || echo "$key was ${now[*]}, is $value"
    else
        fail "cannot write $value to $path; run as root on the machine itself, not in a container; --undo restores what was changed"
    fi
done
