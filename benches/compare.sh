#!/usr/bin/env bash
# Compares BlipMQ with nats-server, redis and the floor, on this machine, in turn.
set -euo pipefail

me=compare.sh
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=benches/brokers.sh
source benches/brokers.sh
# shellcheck source=benches/brokers-tls.sh
source benches/brokers-tls.sh

usage() {
    cat <<'EOF'
Usage: benches/compare.sh [OPTIONS]

Measures blipmq, nats-server, redis-server and the floor (`blipmq bench mirror`, which only receives
and sends) in the same shapes with the same generator, in turn A B C A B C, each pinned to one CPU
and restarted for every shape; blipmq and nats-server over TLS too, beside themselves without. Builds blipmq, and installs nats-server (PyPI, below target/) and
redis-server (Debian, as root) if they are missing. Writes a table, plots, raw JSON and a description
of the measurement into a folder.

  --rounds N        rounds of each broker in each shape (default: 5)
  --secs N          length of the measurement in a round, in seconds (default: 2)
  --out DIR         the folder (default: benches/records/DATE-CPU)
  --only NAMES      only these runs, by the names of their JSON files, such as fan48_64,rtt
  --quick           1 round of 0.3 s, 200 idle connections: a test of the script, not of speed
  --broker-cpu N    CPU of the brokers (default: 0)
  --gen-cpu N       CPU of the generator (default: 1); the second executor of blipmq shares it
  --port-base N     the first of 12 ports of 127.0.0.1 to use (default: 18200)
  --dry-run         print what would be done, change nothing
  --help            this text

Exit status: 0 every run succeeded and was clean, 1 otherwise, 2 an invalid command line.
EOF
}

dry_run=false
rounds="" secs="" warmup=0.3 out="" only=""
# The heap of blipmq grows by 2 MiB at a time, which is 400 bytes for each of 5,000 connections; 10,000 is
# the default limit.
idle_conns=9500
connects=2000
broker_cpus=0 gen_cpus=1 port_base=18200
quick=false
command="benches/$me $*"
declare -A options=(
    [--rounds]=rounds [--secs]=secs [--out]=out [--only]=only [--broker-cpu]=broker_cpus
    [--gen-cpu]=gen_cpus [--port-base]=port_base
)
parse_arguments "$@"
if $quick; then
    rounds=${rounds:-1} secs=${secs:-0.3} warmup=0.1 idle_conns=200 connects=50
fi
rounds=${rounds:-5} secs=${secs:-2}
out=${out:-$(record_folder)}
check_measuring
check_one_cpu_each

note_state
build
with_nats=true with_redis=true
install_nats || with_nats=false
install_redis || with_redis=false
begin
with_tls=true
{ make_certificates && has_tls "$blipmq"; } || with_tls=false
unclean=0
found=0
$dry_run || : >"$out/runs.tsv"

# begin_run NAME: prepares a run; fails if --only excludes the run.
begin_run() {
    [ -z "$only" ] || [[ ",$only," == *",$1,"* ]] || return 1
    found=$((found + 1))
    say "$1"
    # The log of an earlier mirror is not part of this run.
    rm -f "$work/mirror.log"
}

# note NAME TITLE TARGETS [CHUNK BYTES_PER_SEND BYTES_PER_DELIVERY]: appends a line to runs.tsv.
note() {
    $dry_run && return
    local sent="0 0"
    [ ! -e "$work/mirror.log" ] || sent=$(mirror_sent)
    printf '%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n' "$1" "$2" "$3" "${4:-0}" "${5:-0}" "${6:-0}" \
        "${sent% *}" "${sent#* }" >>"$out/runs.tsv"
}

start_rivals() {
    targets=blip
    start_blip "$broker_cpus"
    if $with_nats; then start_nats "$broker_cpus"; targets+=,nats; fi
    if $with_redis; then start_redis "$broker_cpus"; targets+=,redis; fi
}

# rivals NAME TITLE MODE ARGUMENTS...: measures all brokers and the floor; in a fan-out the floor sends
# in chunks of the same size as blipmq.
rivals() {
    local name=$1 title=$2 targets chunk=$mirror_chunk bytes_per_send=0 bytes_per_delivery=0
    local extra=()
    shift 2
    begin_run "$name" || return 0
    if [ "$1" = throughput ]; then
        sample_sends "$@"
        [[ "$name" != fan* ]] || chunk=$(chunk_of "$bytes_per_send")
    fi
    if [ "$1" = latency ]; then extra=(--plot "$out/$name.svg"); fi
    start_rivals
    start_mirror "$broker_cpus" "$chunk"
    targets+=,floor
    bench "$out/$name.json" "$@" "${extra[@]}" --rounds "$rounds" --warmup "$warmup" ||
        unclean=$((unclean + 1))
    stop_all
    note "$name" "$title" "$targets" "$chunk" "$bytes_per_send" "$bytes_per_delivery"
}

# Measures idle connections, with fresh brokers for every round: memory kept from closed connections
# would make new connections look cheap.
idle() {
    local targets round name
    begin_run idle || return 0
    for ((round = 1; round <= (rounds < 3 ? rounds : 3); round++)); do
        name=idle_$round
        start_rivals
        bench "$out/$name.json" idle --idle-conns "$idle_conns" || unclean=$((unclean + 1))
        stop_all
        note "$name" "$idle_conns idle connections" "$targets"
    done
}

# measure NAME TITLE TARGETS MODE ARGUMENTS...: measures the started brokers.
measure() {
    local name=$1 title=$2 targets=$3
    shift 3
    bench "$out/$name.json" "$@" --rounds "$rounds" --warmup "$warmup" || unclean=$((unclean + 1))
    stop_all
    note "$name" "$title" "$targets"
}

# batch NAME TITLE ARGUMENTS...: measures only blipmq, with several messages per frame.
batch() {
    local name=$1 title=$2
    shift 2
    begin_run "$name" || return 0
    start_blip "$broker_cpus"
    measure "$name" "$title" blip throughput --batch 4 "$@"
}

# over_nats NAME TITLE MODE ARGUMENTS...: measures blipmq and nats-server over the NATS protocol.
over_nats() {
    local name=$1 title=$2 targets=blip
    shift 2
    begin_run "$name" || return 0
    start_blip_for_nats "$broker_cpus"
    if $with_nats; then start_nats "$broker_cpus"; targets+=,nats; fi
    measure "$name" "$title" "$targets" "$@"
}

# executors NAME TITLE ARGUMENTS...: measures blipmq with one executor and with two, in turn.
executors() {
    local name=$1 title=$2
    shift 2
    begin_run "$name" || return 0
    start_blip "$broker_cpus"
    start_blip "$broker_cpus,$gen_cpus"
    measure "$name" "$title" "1 executor,2 executors" throughput "$@"
}

# start_over_tls: starts blipmq and nats-server without and with TLS, to be measured side by side.
start_over_tls() {
    targets="blip,blips,blip nats,blip tls"
    start_blip "$broker_cpus"
    start_blip_tls "$broker_cpus" blips
    start_blip_for_nats "$broker_cpus"
    start_blip_tls "$broker_cpus" tls
    if $with_nats; then
        start_nats "$broker_cpus"
        start_nats_tls "$broker_cpus"
        targets+=",nats,nats tls"
    fi
}

# over_tls NAME TITLE MODE ARGUMENTS...: measures what TLS costs.
over_tls() {
    local name=$1 title=$2 targets
    shift 2
    $with_tls && begin_run "$name" || return 0
    start_over_tls
    measure "$name" "$title" "$targets" "$@"
}

# connecting NAME TITLE: measures what it costs that a client connects, with a full handshake over TLS.
connecting() {
    local name=$1 title=$2 targets
    $with_tls && begin_run "$name" || return 0
    start_over_tls
    bench "$out/$name.json" connects --connects "$connects" --rounds "$rounds" || unclean=$((unclean + 1))
    stop_all
    note "$name" "$title" "$targets"
}

rivals fan48_64 "1:48, 64 B" throughput --subs 48 --size 64
rivals fan48_256 "1:48, 256 B" throughput --subs 48 --size 256
rivals fan8_64 "1:8, 64 B" throughput --subs 8 --size 64
rivals one_64 "1:1, 64 B" throughput --size 64
rivals one_1024 "1:1, 1 KiB" throughput --size 1024
rivals pairs8_64 "8:8 on 8 topics, 64 B" throughput --pubs 8 --subs 8 --topics 8 --size 64
rivals rate2000 "2,000/s to 48, 256 B" latency --rate 2000 --subs 48 --size 256
rivals rtt "round trip of one message, 64 B" rtt --size 64
over_nats nats_fan48_64 "1:48, 64 B" throughput --subs 48 --size 64
over_nats nats_fan48_256 "1:48, 256 B" throughput --subs 48 --size 256
over_nats nats_one_64 "1:1, 64 B" throughput --size 64
over_nats nats_one_1024 "1:1, 1 KiB" throughput --size 1024
over_nats nats_pairs8_64 "8:8 on 8 subjects, 64 B" throughput --pubs 8 --subs 8 --topics 8 --size 64
over_nats nats_rate2000 "2,000/s to 48, 256 B" latency --rate 2000 --subs 48 --size 256
over_nats nats_rtt "round trip of one message, 64 B" rtt --size 64
over_tls tls_fan48_64 "1:48, 64 B" throughput --subs 48 --size 64
over_tls tls_fan48_256 "1:48, 256 B" throughput --subs 48 --size 256
over_tls tls_rate2000 "2,000/s to 48, 256 B" latency --rate 2000 --subs 48 --size 256
over_tls tls_rtt "round trip of one message, 64 B" rtt --size 64
connecting tls_connects "connects"
idle
batch batch_one_64 "1:1, 64 B, 4 messages a frame" --size 64
batch batch_fan48_64 "1:48, 64 B, 4 messages a frame" --subs 48 --size 64
executors cores_fan48_64 "1:48, 64 B" --subs 48 --size 64
executors cores_one_64 "1:1, 64 B" --size 64
executors cores_pairs8_64 "8:8 on 8 topics, 64 B" --pubs 8 --subs 8 --topics 8 --size 64

[ "$found" -gt 0 ] || fail "--only $only matches no run; the names are in $me" 2
$dry_run && exit 0
{
    echo "# blipmq compared with other brokers"
    echo
    record_head "$command"
    echo
    limits_of_record
    echo
    echo "\`table.md\` has the numbers, \`cpu.svg\` and \`rate2000.svg\` show some of them. Each"
    echo "\`.json\` is the output of \`blipmq bench\` for one run, with its command; \`runs.tsv\` lists"
    echo "the runs. The floor is \`blipmq bench mirror\`, which sends on the bytes that it receives."
} >"$out/record.md"
python3 benches/report.py compare "$out" || fail "creating the table failed, see above"
cat "$out/table.md"
say "written to $out in $SECONDS s"
[ "$unclean" -eq 0 ] || fail "$unclean of $found runs were not clean, see above and the table"
