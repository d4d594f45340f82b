# shellcheck shell=bash
# Sourced by the scripts in this folder that change kernel settings: changes settings, records the
# earlier values, and restores them.
#
# Each script has a state file in STATE_DIR (default /run/blipmq, which like the settings lasts until
# the next boot). A line is a kind, a name and the earlier value, separated by tabs. The value from
# before the first change stays, however often a script runs.

name=$(basename "$0")
readonly name
readonly state_dir=${STATE_DIR:-/run/blipmq}
readonly state=$state_dir/${name%.sh}.before
# Set by the script that sources this.
dry_run=false

fail() {
    echo "$name: $1" >&2
    exit "${2:-1}"
}

# Reads the command line of a script with the common options and at most one argument, described by $1:
# sets `given`, or undoes the changes and exits.
given=""
take_arguments() {
    local what=$1 undo=false argument
    shift
    for argument in "$@"; do
        case "$argument" in
            --dry-run) dry_run=true ;;
            --undo) undo=true ;;
            --help | -h) usage; exit 0 ;;
            -*) fail "unknown option $argument; see --help" 2 ;;
            *)
                [ -z "$given" ] || fail "more than one $what: $given and $argument; see --help" 2
                given=$argument
                ;;
        esac
    done
    $undo || return 0
    [ -z "$given" ] || fail "--undo takes no $what, it restores all recorded changes" 2
    undo_and_exit
}

# Records the value from before the first change.
remember() {
    local kind=$1 what=$2 before=$3
    if [ -e "$state" ] && grep -qF "$kind	$what	" "$state"; then return; fi
    # The folder may be there already, for the pid files of numa-instances.sh.
    { mkdir -p "$state_dir" && printf '%s\t%s\t%s\n' "$kind" "$what" "$before" >>"$state"; } ||
        fail "cannot record the earlier settings in $state, so nothing is changed; run as root"
}

forget() {
    local kind=$1 what=$2 rest
    rest=$(grep -vF "$kind	$what	" "$state" || true)
    if [ -n "$rest" ]; then echo "$rest" >"$state"; else rm -f "$state"; fi
}

# Writes a value to a file of the kernel. Returns 1 if the kernel refuses it.
change_file() {
    local file=$1 before=$2 value=$3
    if $dry_run; then
        echo "would write $value to $file"
        return
    fi
    remember file "$file" "$before"
    # In a group, because the shell itself reports a file that cannot be opened.
    { echo "$value" >"$file"; } 2>/dev/null && return
    forget file "$file"
    return 1
}

restore() {
    local kind=$1 what=$2 before=$3
    case "$kind" in
        file)
            # Interrupts and control groups may be gone.
            if [ ! -e "$what" ]; then
                echo "$what is gone, left alone"
            elif $dry_run; then
                echo "would write \"$before\" to $what"
            else
                { echo "$before" >"$what"; } 2>/dev/null && echo "wrote \"$before\" to $what"
            fi
            ;;
        slice)
            if $dry_run; then
                echo "would run: systemctl set-property --runtime $what AllowedCPUs=$before"
            else
                systemctl set-property --runtime "$what" "AllowedCPUs=$before" &&
                    echo "set AllowedCPUs of $what to \"$before\""
            fi
            ;;
        cpus) ;;
        *) fail "$state has a line that begins with \"$kind\", which this script did not write" ;;
    esac
}

# Restores all settings, the last change first, and ends the script.
undo_and_exit() {
    if [ ! -e "$state" ]; then
        echo "nothing to undo: $state is not there"
        exit 0
    fi
    local line kind what before failed=0
    local -a lines
    mapfile -t lines < <(tac "$state")
    for line in "${lines[@]}"; do
        IFS=$'\t' read -r kind what before <<<"$line"
        restore "$kind" "$what" "$before" && continue
        echo "$name: cannot restore \"$before\" in $what" >&2
        failed=$((failed + 1))
    done
    $dry_run && exit 0
    [ "$failed" -eq 0 ] ||
        fail "$failed of ${#lines[@]} changes are not undone; $state is kept, so run --undo again, as root"
    rm -f "$state"
    echo "undone: ${#lines[@]} changes"
    exit 0
}
