#!/usr/bin/env bash
# Compares two binaries of BlipMQ, such as before and after a change, on this machine, in turn.
set -euo pipefail

me=pair.sh
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=benches/brokers.sh
source benches/brokers.sh
# shellcheck source=benches/brokers-tls.sh
source benches/brokers-tls.sh

usage() {
    cat <<'END'
Usage: benches/pair.sh --before BINARY [OPTIONS]

Measures two binaries of blipmq over BLIP/1 and over the NATS protocol in the same shapes with the
same generator, in turn, each pinned to one CPU and restarted for every shape; some shapes over TLS too,
if both binaries have it. The generator is the
newer binary. Writes a table, raw JSON and a description of the measurement into a folder.

  --before BINARY   the older blipmq, compiled for release
  --rounds N        rounds of each binary in each shape (default: 7)
  --secs N          length of the measurement in a round, in seconds (default: 1)
  --out DIR         the folder (default: benches/records/DATE-CPU/pair)
  --only NAMES      only these runs, by the names of their JSON files, such as fan48_64,nats_rtt,
                    blips_fan48_64 or tls_rtt (NATS over TLS)
  --quick           1 round of 0.3 s: a test of the script, not of speed
  --broker-cpu N    CPU of the brokers (default: 0)
  --gen-cpu N       CPU of the generator (default: 1)
  --port-base N     the first of 10 ports of 127.0.0.1 to use (default: 18200)
  --dry-run         print what would be done, change nothing
  --help            this text

Exit status: 0 every run succeeded and was clean, 1 otherwise, 2 an invalid command line.
END
}

dry_run=false
quick=false
before="" rounds="" secs="" warmup=0.3 out="" only=""
broker_cpus=0 gen_cpus=1 port_base=18200
command="benches/$me $*"
declare -A options=(
    [--before]=before [--rounds]=rounds [--secs]=secs [--out]=out [--only]=only
    [--broker-cpu]=broker_cpus [--gen-cpu]=gen_cpus [--port-base]=port_base
)
parse_arguments "$@"
if $quick; then
    rounds=${rounds:-1} secs=${secs:-0.3} warmup=0.1
fi
rounds=${rounds:-7} secs=${secs:-1}
out=${out:-$(record_folder)/pair}
[ -n "$before" ] || fail "give the older binary as --before BINARY; see --help" 2
$dry_run || [ -x "$before" ] || fail "--before $before is not a program" 2
check_measuring
check_one_cpu_each

note_state
build
begin
with_tls=true
{ make_certificates && has_tls "$before" && has_tls "$blipmq"; } || with_tls=false
unclean=0
found=0
$dry_run || : >"$out/runs.tsv"

# start_one BINARY LOG: starts a binary, to be measured over $protocol.
start_one() {
    local port port_metrics blip=0 nats=0 more=()
    next_ports
    case "$protocol" in
        nats | tls) nats=$port ;;
        *) blip=$port ;;
    esac
    case "$protocol" in
        blips | tls) more=(--config "$work/tls.toml") ;;
    esac
    start "$protocol://127.0.0.1:$port" "$2" "$1" "${more[@]}" --bind "127.0.0.1:$blip" \
        --nats-bind "127.0.0.1:$nats" --metrics-bind "127.0.0.1:$port_metrics" --cores "$broker_cpus"
}

# pair NAME TITLE MODE ARGUMENTS...: measures both binaries, over both protocols.
pair() {
    pair_over "blip nats" "$@"
}

# pair_tls NAME TITLE MODE ARGUMENTS...: likewise, and over TLS.
pair_tls() {
    local protocols="blip nats"
    ! $with_tls || protocols+=" blips tls"
    pair_over "$protocols" "$@"
}

# pair_over PROTOCOLS NAME TITLE MODE ARGUMENTS...
pair_over() {
    local protocols=$1 short=$2 title=$3 name protocol
    shift 3
    for protocol in $protocols; do
        name=$short
        [ "$protocol" = blip ] || name=${protocol}_$short
        [ -z "$only" ] || [[ ",$only," == *",$name,"* ]] || continue
        found=$((found + 1))
        say "$name"
        start_one "$before" before
        start_one "$blipmq" after
        bench "$out/$name.json" "$@" --rounds "$rounds" --warmup "$warmup" || unclean=$((unclean + 1))
        stop_all
        $dry_run || printf '%s\t%s\tbefore,after\n' "$name" "$title" >>"$out/runs.tsv"
    done
}

pair_tls fan48_64 "1:48, 64 B" throughput --subs 48 --size 64
pair_tls fan48_256 "1:48, 256 B" throughput --subs 48 --size 256
pair fan8_64 "1:8, 64 B" throughput --subs 8 --size 64
pair one_64 "1:1, 64 B" throughput --size 64
pair one_1024 "1:1, 1 KiB" throughput --size 1024
pair pairs8_64 "8:8 on 8 topics, 64 B" throughput --pubs 8 --subs 8 --topics 8 --size 64
pair_tls rate2000 "2,000/s to 48, 256 B" latency --rate 2000 --subs 48 --size 256
pair_tls rtt "round trip of one message, 64 B" rtt --size 64

[ "$found" -gt 0 ] || fail "--only $only matches no run; the names are in $me" 2
$dry_run && exit 0
{
    echo "# Two binaries of blipmq compared"
    echo
    record_head "$command"
    echo "| before | $("$before" --version), SHA-256 $(sha256sum "$before" | cut -c 1-16) |"
    echo
    limits_of_record
    echo
    echo "Each \`.json\` is the output of \`blipmq bench\` for one run, with its command; \`runs.tsv\` lists"
    echo "the runs."
} >"$out/record.md"
python3 benches/report.py pair "$out" || fail "creating the table failed, see above"
cat "$out/table.md"
say "written to $out in $SECONDS s"
[ "$unclean" -eq 0 ] || fail "$unclean of $found runs were not clean, see above and the table"
