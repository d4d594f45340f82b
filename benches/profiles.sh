#!/usr/bin/env bash
# Compares the three profiles in config/, on this machine, in turn: the gain and the price of each.
set -euo pipefail

me=profiles.sh
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=benches/brokers.sh
source benches/brokers.sh

usage() {
    cat <<'END'
Usage: benches/profiles.sh [OPTIONS]

Measures blipmq with config/high-throughput.toml, mixed.toml and low-latency.toml in the same shapes
with the same generator, in turn, each pinned to one CPU and restarted for every shape: throughput
with the same number of messages in flight; throughput with half of the profile's queue in flight; and
2,000 messages per second to 48 subscribers. Writes record.md, table.md and raw JSON into a folder.

  --rounds N        rounds of each profile in each shape (default: 5)
  --secs N          length of the measurement in a round, in seconds (default: 2)
  --out DIR         the folder (default: benches/records/DATE-CPU/profiles)
  --quick           1 round of 0.3 s: a test of the script, not of speed
  --broker-cpu N    CPU of the brokers (default: 0)
  --gen-cpu N       CPU of the generator (default: 1)
  --port-base N     the first of 6 ports of 127.0.0.1 to use (default: 18200)
  --dry-run         print what would be done, change nothing
  --help            this text

Exit status: 0 every run succeeded and was clean, 1 otherwise, 2 an invalid command line.
END
}

dry_run=false
rounds="" secs="" warmup=0.3 out=""
broker_cpus=0 gen_cpus=1 port_base=18200
quick=false
command="benches/$me $*"
declare -A options=(
    [--rounds]=rounds [--secs]=secs [--out]=out [--broker-cpu]=broker_cpus [--gen-cpu]=gen_cpus
    [--port-base]=port_base
)
parse_arguments "$@"
if $quick; then
    rounds=${rounds:-1} secs=${secs:-0.3} warmup=0.1
fi
rounds=${rounds:-5} secs=${secs:-2}
out=${out:-$(record_folder)/profiles}
check_measuring
check_one_cpu_each

readonly profiles=(high-throughput mixed low-latency)
note_state
build
begin
unclean=0
$dry_run || : >"$out/runs.tsv"

# capacity_of PROFILE: prints the queue capacity of a subscription.
capacity_of() {
    if $dry_run; then
        echo 2048
    else
        "$blipmq" check-config "config/$1.toml" | sed -n 's/^subscriber_capacity = //p' | tail -n 1
    fi
}

# measure NAME TITLE TARGETS ARGUMENTS...: measures the started brokers and appends a line to runs.tsv.
measure() {
    local name=$1 title=$2 targets=$3
    shift 3
    bench "$out/$name.json" "$@" --warmup "$warmup" || unclean=$((unclean + 1))
    $dry_run || printf '%s\t%s\t%s\n' "$name" "$title" "$targets" >>"$out/runs.tsv"
}

# same NAME TITLE ARGUMENTS...: measures all profiles with the same load, in turn.
same() {
    local name=$1 title=$2 profile
    shift 2
    say "$name"
    for profile in "${profiles[@]}"; do
        start_blip "$broker_cpus" --config "config/$profile.toml"
    done
    measure "$name" "$title" "high-throughput,mixed,low-latency" "$@" --rounds "$rounds"
    stop_all
}

# own NAME TITLE ARGUMENTS...: measures each profile with half of its own queue in flight, in turn.
own() {
    local name=$1 title=$2 profile round capacity
    shift 2
    say "$name"
    for ((round = 1; round <= rounds; round++)); do
        for profile in "${profiles[@]}"; do
            capacity=$(capacity_of "$profile")
            [ "$capacity" -ge 2 ] || fail "config/$profile.toml has a queue too small to measure"
            start_blip "$broker_cpus" --config "config/$profile.toml"
            measure "${name}_${profile}_$round" "$title" "$profile" "$@" --rounds 1 \
                --window $((capacity / 2))
            stop_all
        done
    done
}

# The smallest queue has 256 messages: with more in flight, messages would be dropped.
same same128 "1:48, 64 B, 128 on the way" throughput --subs 48 --size 64 --window 128
own half "1:48, 64 B, half a queue on the way" throughput --subs 48 --size 64
same rate2000 "2,000/s to 48, 256 B" latency --rate 2000 --subs 48 --size 256

$dry_run && exit 0
{
    echo "# The three profiles"
    echo
    record_head "$command"
    echo
    limits_of_record
    echo
    echo "\`table.md\` has the numbers; each \`.json\` is the output of \`blipmq bench\` for one run, with"
    echo "its command; \`runs.tsv\` lists the runs."
} >"$out/record.md"
python3 benches/report.py profiles "$out" || fail "creating the table failed, see above"
cat "$out/table.md"
say "written to $out in $SECONDS s"
[ "$unclean" -eq 0 ] || fail "$unclean runs were not clean, see above and the table"
