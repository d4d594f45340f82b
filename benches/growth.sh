#!/usr/bin/env bash
# Measures how the cost of a delivery grows with subscribers, sizes, topics, patterns and connections.
set -euo pipefail

me=growth.sh
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=benches/brokers.sh
source benches/brokers.sh

usage() {
    cat <<'END'
Usage: benches/growth.sh [OPTIONS]

Measures the cost of a delivery in blipmq as one number grows and all others stay the same:
subscribers, bytes of a message, topics, pairs of publisher and subscriber, pattern subscriptions
that match nothing, idle connections. Where possible, the floor (`blipmq bench mirror`, which only
receives and sends) takes turns with blipmq. With more than one CPU in --cores, every run is repeated
with 1, 2, 4 ... executors, in turn. Writes growth.md with a table and a plot for each curve, and raw
JSON below growth/, into a folder.

  --cores LIST      CPUs of the brokers (default: 0)
  --gen-cpus LIST   CPUs of the generator, one thread each (default: 1); on a large machine, as many
                    as blipmq has, on the same NUMA node but on other physical cores
  --rounds N        rounds of each broker at each point (default: 3)
  --secs N          length of the measurement in a round, in seconds (default: 0.8)
  --out DIR         the folder (default: benches/records/DATE-CPU)
  --only NAMES      only these curves, such as subs,topics (subs, size, topics, pairs, patterns, idle)
  --quick           a few points of each curve, 1 round of 0.2 s: a test of the script
  --port-base N     the first of 40 ports of 127.0.0.1 to use (default: 18200)
  --dry-run         print what would be done, change nothing
  --help            this text

Exit status: 0 every run succeeded and was clean, 1 otherwise, 2 an invalid command line.
END
}

dry_run=false
quick=false
rounds="" secs="" warmup=0.2 out="" only=""
broker_cpus=0 gen_cpus=1 port_base=18200
command="benches/$me $*"
declare -A options=(
    [--cores]=broker_cpus [--gen-cpus]=gen_cpus [--rounds]=rounds [--secs]=secs [--out]=out
    [--only]=only [--port-base]=port_base
)
parse_arguments "$@"
if $quick; then
    rounds=${rounds:-1} secs=${secs:-0.2} warmup=0.1
fi
rounds=${rounds:-3} secs=${secs:-0.8}
out=${out:-$(record_folder)}
check_measuring
is_cpus "$broker_cpus" || fail "--cores $broker_cpus is not a list such as 0,2,3" 2
is_cpus "$gen_cpus" || fail "--gen-cpus $gen_cpus is not a list such as 0,2,3" 2

note_state
build
begin
readonly raw=$out/growth
# More than the default of 10,000, because the load has connections too; and blipmq needs other files.
open_files=$(ulimit -Hn)
[ "$open_files" != unlimited ] || open_files=1048576
readonly connections_max=$((open_files - 1000 < 12000 ? open_files - 1000 : 12000))
unclean=0
found=0
if ! $dry_run; then
    mkdir -p "$raw"
    : >"$raw/runs.tsv"
    printf '[server]\nmax_connections = %s\n' "$connections_max" >"$work/growth.toml"
fi

IFS=, read -ra cpus <<<"$broker_cpus"
IFS=, read -ra gen <<<"$gen_cpus"
readonly threads=${#gen[@]}

# Starts a broker for each number of executors: 1, 2, 4 ... and all.
start_brokers() {
    local count=1 list name
    targets=""
    while :; do
        list=$(IFS=,; echo "${cpus[*]:0:count}")
        name="$count executors"
        [ "$count" -gt 1 ] || name="1 executor"
        targets+=${targets:+,}$name
        start_blip "$list" --config "$work/growth.toml"
        [ "$count" -lt "${#cpus[@]}" ] || break
        count=$((2 * count < ${#cpus[@]} ? 2 * count : ${#cpus[@]}))
    done
}

# point CURVE NUMBER TITLE FLOOR ARGUMENTS...: measures one point. FLOOR is true if a mirror can carry
# the same load.
point() {
    local curve=$1 number=$2 title=$3 floor=$4 targets chunk=0 sent="0 0"
    local bytes_per_send=0 bytes_per_delivery=0
    shift 4
    say "$curve $number"
    set -- throughput "$@" --threads "$threads"
    rm -f "$work/mirror.log"
    if $floor; then
        sample_sends "$@"
        chunk=$(chunk_of "$bytes_per_send")
    fi
    start_brokers
    if $floor; then
        start_mirror "${cpus[0]}" "$chunk"
        targets+=,floor
    fi
    bench "$raw/$curve.$number.json" "$@" --rounds "$rounds" --warmup "$warmup" ||
        unclean=$((unclean + 1))
    stop_all
    $dry_run && return
    [ ! -e "$work/mirror.log" ] || sent=$(mirror_sent)
    printf '%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n' "$curve.$number" "$title" "$targets" "$chunk" \
        "$bytes_per_send" "$bytes_per_delivery" "${sent% *}" "${sent#* }" >>"$raw/runs.tsv"
}

# select_curve CURVE: counts the curve; fails if --only excludes the curve.
select_curve() {
    [ -z "$only" ] || [[ ",$only," == *",$1,"* ]] || return 1
    found=$((found + 1))
}

# points QUICK ALL: prints the numbers of a curve.
points() {
    if $quick; then echo "$1"; else echo "$2"; fi
}

if select_curve subs; then
    for n in $(points "1 8 64" "1 2 4 8 16 32 64 128 256 512 1024"); do
        point subs "$n" "Subscribers of one topic, 64 B" true --subs "$n" --size 64
    done
fi
if select_curve size; then
    for n in $(points "16 1024 65536" "16 64 256 1024 4096 16384 65536"); do
        # The messages in flight to a subscriber stay below the 64 MiB of its queue.
        window=$((4194304 / n < 1024 ? 4194304 / n : 1024))
        point size "$n" "Bytes of a message, 1:8" true --subs 8 --size "$n" --window "$window"
    done
fi
if select_curve topics; then
    for n in $(points "1 100 10000" "1 10 100 1000 10000 100000"); do
        # The same number of messages in flight at every point, but at least one per topic.
        window=$((1024 / n > 0 ? 1024 / n : 1))
        point topics "$n" "Topics, a publisher and a subscriber of all, 64 B" false \
            --topics "$n" --size 64 --window "$window"
    done
fi
if select_curve pairs; then
    for n in $(points "1 8" "1 2 4 8 16 32 64"); do
        point pairs "$n" "Pairs of a publisher and a subscriber, a topic each, 64 B" true \
            --pubs "$n" --subs "$n" --topics "$n" --size 64
    done
fi
if select_curve patterns; then
    for n in $(points "0 1000" "0 1 10 100 1000 10000"); do
        point patterns "$n" "Pattern subscriptions that match nothing, 1:8, 64 B" false \
            --patterns "$n" --subs 8 --size 64
    done
fi
if select_curve idle; then
    for n in $(points "0 200" "0 1 10 100 1000 10000"); do
        if [ "$n" -gt $((connections_max - 100)) ]; then
            say "idle $n is skipped: \`ulimit -Hn\` is $open_files"
            continue
        fi
        point idle "$n" "Idle connections with a subscription each, 1:8, 64 B" false \
            --idle-conns "$n" --subs 8 --size 64
    done
fi

[ "$found" -gt 0 ] || fail "--only $only matches no curve; see --help" 2
$dry_run && exit 0
{
    echo "# How cost grows"
    echo
    record_head "$command"
    echo
    limits_of_record
    echo
    echo "The floor only receives and sends, on one thread, in chunks of the same size as blipmq."
    echo "Raw JSON is in \`growth/\`, by curve and number."
} >"$out/growth.md"
python3 benches/report.py growth "$out" || fail "creating the tables failed, see above"
cat "$out/growth.md"
say "written to $out in $SECONDS s"
[ "$unclean" -eq 0 ] || fail "$unclean runs were not clean, see above and the tables"
