# Starts brokers over TLS, for compare.sh and pair.sh, which source brokers.sh before this.
# shellcheck shell=bash
# shellcheck disable=SC2154,SC2034 # brokers.sh and the caller set and read the other variables

# make_certificates: makes what brokers over TLS need in $work; returns whether that was possible.
make_certificates() {
    tls_options=(--tls-ca "$work/certificates/ca.pem")
    if $dry_run; then
        echo "would make certificates in $work/certificates"
        return
    fi
    deploy/make-test-ca.sh --out "$work/certificates" --host 127.0.0.1 >"$work/notes" 2>&1 && {
        cat >"$work/tls.toml" <<END
[tls]
cert_file = "$work/certificates/server.pem"
key_file = "$work/certificates/server.key"
blip = "required"
nats = "required"
# As nats-server has it: INFO comes at once.
nats_handshake_first = "never"
END
        return
    }
    cat "$work/notes" >&2
    say "nothing is measured over TLS: the certificates could not be made, see above"
    return 1
}

# has_tls BINARY: returns whether this blipmq knows [tls], which older ones do not.
has_tls() {
    $dry_run && return
    "$1" check-config "$work/tls.toml" >"$work/notes" 2>&1 && return
    cat "$work/notes" >&2
    say "nothing is measured over TLS: $1 refuses the configuration, see above"
    return 1
}

# start_blip_tls CPUS SCHEME [MORE OPTIONS...]: starts blipmq, to be measured as blips or tls (NATS).
start_blip_tls() {
    local port port_metrics blip=0 nats=0 cpus=$1 scheme=$2
    shift 2
    next_ports
    if [ "$scheme" = tls ]; then nats=$port; else blip=$port; fi
    start "$scheme://127.0.0.1:$port" "blip-$scheme-$cpus" "$blipmq" --config "$work/tls.toml" \
        --bind "127.0.0.1:$blip" --nats-bind "127.0.0.1:$nats" \
        --metrics-bind "127.0.0.1:$port_metrics" --cores "$cpus" "$@"
}

start_nats_tls() {
    local port port_metrics
    next_ports
    start "tls://127.0.0.1:$port" nats-tls taskset -c "$1" "$nats_server" -a 127.0.0.1 -p "$port" \
        --tls --tlscert "$work/certificates/server.pem" --tlskey "$work/certificates/server.key"
}
