#!/usr/bin/env bash
# One BlipMQ broker per NUMA node, each on the cores and in the memory of its node.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly here

usage() {
    cat <<'EOF'
Usage: numa-instances.sh [OPTIONS] start|stop|status

Runs one broker per NUMA node of this machine:
    numactl --cpunodebind=N --membind=N blipmq --config config/nodeN.toml
Each instance is a broker of its own with its own ports; instances share no topics.

  start    starts the brokers that do not run yet, after checking every configuration file
  stop     sends SIGTERM, and waits until accepted messages are delivered
  status   one line per node; exit status 0 if all run, 3 if not

  --undo             the same as stop: a start changes nothing else on the machine

  --nodes LIST       only these nodes, like 0,2-3 (default: all nodes with cores and memory)
  --config-dir DIR   where node0.toml, node1.toml ... are (default: config/ beside deploy/)
  --binary FILE      the broker (default: blipmq in PATH, else target/release/blipmq)
  --run-dir DIR      pid files and logs (default: /run/blipmq for root, else
                     $XDG_RUNTIME_DIR/blipmq or /tmp/blipmq-UID)
  --watch S          seconds a start watches each broker for an early end (default: 1)
  --stop-timeout S   seconds a stop waits for each broker (default: 30)
  --dry-run          print what would be done, change nothing; needs neither root nor numactl
  --help             this text

Environment: SYSFS (default /sys), for tests.
EOF
}

fail() {
    echo "numa-instances.sh: $1" >&2
    exit "${2:-1}"
}

# "0,2-3" to "0 2 3".
expanded() {
    local part first last
    local -a parts numbers=()
    IFS=, read -ra parts <<<"$1"
    for part in "${parts[@]}"; do
        [[ "$part" =~ ^([0-9]{1,4})(-([0-9]{1,4}))?$ ]] ||
            fail "\"$part\" in \"$1\" is not a node; write a list like 0,2-3" 2
        first=${BASH_REMATCH[1]} last=${BASH_REMATCH[3]:-${BASH_REMATCH[1]}}
        mapfile -t -O "${#numbers[@]}" numbers < <(seq "$first" "$last")
    done
    echo "${numbers[@]}"
}

contains() {
    local wanted=$1 item
    shift
    for item in "$@"; do [ "$item" = "$wanted" ] && return 0; done
    return 1
}

command=""
dry_run=false
nodes_asked=""
config_dir=$here/../config
binary=""
run_dir=""
watch=1
stop_timeout=30
while [ $# -gt 0 ]; do
    case "$1" in
        --dry-run) dry_run=true ;;
        --help | -h) usage; exit 0 ;;
        --nodes | --config-dir | --binary | --run-dir | --watch | --stop-timeout)
            [ $# -ge 2 ] || fail "$1 needs a value; see --help" 2
            case "$1" in
                --nodes) nodes_asked=$2 ;;
                --config-dir) config_dir=$2 ;;
                --binary) binary=$2 ;;
                --run-dir) run_dir=$2 ;;
                --watch) watch=$2 ;;
                --stop-timeout) stop_timeout=$2 ;;
            esac
            shift
            ;;
        start | stop | status)
            [ -z "$command" ] || fail "more than one command: $command and $1" 2
            command=$1
            ;;
        --undo)
            [ -z "$command" ] || fail "more than one command: $command and $1" 2
            command=stop
            ;;
        *) fail "unknown argument $1; see --help" 2 ;;
    esac
    shift
done
if [ -z "$command" ]; then
    # A dry run without a command shows a start.
    $dry_run || fail "give a command: start, stop or status; see --help" 2
    command=start
fi
[[ "$watch" =~ ^[0-9]{1,6}$ ]] || fail "--watch $watch is not a whole number of seconds" 2
[[ "$stop_timeout" =~ ^[0-9]{1,6}$ ]] ||
    fail "--stop-timeout $stop_timeout is not a whole number of seconds" 2

if [ -z "$run_dir" ]; then
    if [ "$(id -u)" -eq 0 ]; then
        run_dir=/run/blipmq
    elif [ -n "${XDG_RUNTIME_DIR:-}" ]; then
        run_dir=$XDG_RUNTIME_DIR/blipmq
    else
        run_dir=/tmp/blipmq-$(id -u)
    fi
fi

readonly node_root=${SYSFS:-/sys}/devices/system/node
if [ ! -e "$node_root/has_cpu" ] || [ ! -e "$node_root/has_memory" ]; then
    fail "$node_root is empty: this kernel has no NUMA nodes; run \"blipmq --config FILE\" instead"
fi
read -ra nodes_with_cpu <<<"$(expanded "$(cat "$node_root/has_cpu")")"
read -ra nodes_with_memory <<<"$(expanded "$(cat "$node_root/has_memory")")"
usable=()
for node in "${nodes_with_cpu[@]}"; do
    # Memory cannot be bound to a node without memory.
    if contains "$node" "${nodes_with_memory[@]}"; then usable+=("$node"); fi
done

nodes=("${usable[@]}")
if [ -n "$nodes_asked" ]; then
    # A separate assignment, so that a bad list ends the script.
    list=$(expanded "$nodes_asked")
    read -ra nodes <<<"$list"
    for node in "${nodes[@]}"; do
        contains "$node" "${usable[@]}" ||
            fail "this machine has no node $node with cores and memory, but these: ${usable[*]}"
    done
fi

[ -d "$config_dir" ] || fail "$config_dir is not a folder; give the folder with node0.toml as --config-dir"
config_dir=$(cd "$config_dir" && pwd)
config_of() { echo "$config_dir/node$1.toml"; }
pid_file_of() { echo "$run_dir/node$1.pid"; }
log_of() { echo "$run_dir/node$1.log"; }

for node in "${nodes[@]}"; do
    [ -e "$(config_of "$node")" ] ||
        fail "node $node has no configuration: $(config_of "$node") is missing; copy node0.toml to it and change its ports, or leave the node out with --nodes"
done
for file in "$config_dir"/node*.toml; do
    number=${file##*/node} number=${number%.toml}
    if [ -z "$nodes_asked" ] && ! contains "$number" "${nodes[@]}"; then
        echo "node$number.toml is not used: this machine has no node $number"
    fi
done

# The pid of a node's running broker. The command line is compared, because the pid may have been
# reused.
pid_of() {
    local pid
    pid=$(cat "$(pid_file_of "$1")" 2>/dev/null) || return 1
    [[ "$pid" =~ ^[0-9]+$ ]] || return 1
    [ -r "/proc/$pid/cmdline" ] || return 1
    tr '\0' '\n' 2>/dev/null <"/proc/$pid/cmdline" | grep -qxF -- "$(config_of "$1")" || return 1
    echo "$pid"
}

find_binary() {
    if [ -z "$binary" ]; then
        binary=$(command -v blipmq || echo "$here/../target/release/blipmq")
    fi
    $dry_run && return
    [ -x "$binary" ] ||
        fail "there is no program $binary; build it (cargo build --release), or give it as --binary"
}

start_one() {
    local node=$1 pid
    local -a line=(numactl "--cpunodebind=$node" "--membind=$node" "$binary" --config "$(config_of "$node")")
    if pid=$(pid_of "$node"); then
        echo "node $node: runs already, pid $pid"
        return
    fi
    if $dry_run; then
        echo "would run: ${line[*]}"
        return
    fi
    # numactl becomes the broker (exec), so its pid is the broker's.
    setsid "${line[@]}" </dev/null >>"$(log_of "$node")" 2>&1 &
    pid=$!
    echo "$pid" >"$(pid_file_of "$node")"
    # A problem with a port or a limit shows within moments.
    for _ in $(seq $((watch * 10))); do
        sleep 0.1
        if ! kill -0 "$pid" 2>/dev/null; then
            rm -f "$(pid_file_of "$node")"
            tail -n 5 "$(log_of "$node")" >&2
            fail "node $node: the broker ended at once; the end of its log is above, all of it in $(log_of "$node")"
        fi
    done
    echo "node $node: started, pid $pid, log $(log_of "$node")"
}

start() {
    $dry_run || command -v numactl >/dev/null ||
        fail "numactl is not installed; install it (apt-get install numactl, dnf install numactl)"
    find_binary
    if ! $dry_run; then
        # All files are checked before any start: half of the brokers are worse than none.
        for node in "${nodes[@]}"; do
            "$binary" check-config "$(config_of "$node")" >/dev/null ||
                fail "nothing was started: $(config_of "$node") is not valid, see above"
        done
        mkdir -p "$run_dir"
    fi
    for node in "${nodes[@]}"; do start_one "$node"; done
}

stop() {
    local node pid deadline failed=0
    local -A stopping=()
    for node in "${nodes[@]}"; do
        if ! pid=$(pid_of "$node"); then
            echo "node $node: does not run"
        elif $dry_run; then
            echo "would send SIGTERM to pid $pid (node $node)"
        else
            kill -TERM "$pid" 2>/dev/null || true
            stopping[$node]=$pid
        fi
    done
    for node in "${!stopping[@]}"; do
        pid=${stopping[$node]}
        deadline=$((SECONDS + stop_timeout))
        while pid_of "$node" >/dev/null && [ "$SECONDS" -lt "$deadline" ]; do sleep 0.1; done
        if pid_of "$node" >/dev/null; then
            echo "node $node: pid $pid still runs after $stop_timeout s; wait, or kill it: kill -KILL $pid" >&2
            failed=1
        else
            rm -f "$(pid_file_of "$node")"
            echo "node $node: stopped"
        fi
    done
    return "$failed"
}

status() {
    local node pid missing=0
    for node in "${nodes[@]}"; do
        if pid=$(pid_of "$node"); then
            echo "node $node: runs, pid $pid"
        else
            echo "node $node: does not run"
            missing=3
        fi
    done
    return "$missing"
}

"$command"
