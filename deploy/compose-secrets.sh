#!/usr/bin/env bash
# Makes the secrets of deploy/compose.yaml.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly here

usage() {
    cat <<'EOF'
Usage: compose-secrets.sh [--dry-run] [--undo]

Makes the secrets that deploy/compose.yaml mounts into its containers, in the folder secrets/ beside it:

  metrics-token            the token of Prometheus for the broker: 256 random bits
  blipmq.toml              deploy/container.toml with that token, metrics for all of the network, and the
                           reason why clients on this machine need no login
  grafana-admin-password   of the user "admin": 128 random bits

Existing files stay: a second run changes nothing, so you can bring your own token and edit blipmq.toml.
Only the owner can enter the folder; its files are readable by the users of the containers, which have
them mounted.

  --dry-run   print what would be done, change nothing
  --undo      remove these three files, and the folder if it is empty then
  --help      this text

Environment: SECRETS (default secrets/ beside this script), for tests.
EOF
}

fail() {
    echo "compose-secrets.sh: $1" >&2
    exit "${2:-1}"
}

dry_run=false
undo=false
for argument in "$@"; do
    case "$argument" in
        --dry-run) dry_run=true ;;
        --undo) undo=true ;;
        --help | -h) usage; exit 0 ;;
        *) fail "unknown argument $argument; see --help" 2 ;;
    esac
done

readonly secrets=${SECRETS:-$here/secrets}

if $undo; then
    for name in metrics-token blipmq.toml grafana-admin-password; do
        if [ ! -e "$secrets/$name" ]; then
            echo "$secrets/$name is not there"
        elif $dry_run; then
            echo "would remove $secrets/$name"
        else
            rm "$secrets/$name"
            echo "removed $secrets/$name"
        fi
    done
    if ! $dry_run && [ -d "$secrets" ]; then rmdir --ignore-fail-on-non-empty "$secrets"; fi
    exit 0
fi

# Writes stdin to the file unless it exists; a partly written file never has the final name.
make() {
    local file=$secrets/$1
    if [ -e "$file" ]; then
        cat >/dev/null
        echo "$file is there already"
    elif $dry_run; then
        cat >/dev/null
        echo "would write $file"
    else
        cat >"$file.new"
        chmod 0444 "$file.new"
        mv "$file.new" "$file"
        echo "wrote $file"
    fi
}

random_hex() { head -c "$1" /dev/urandom | od -An -v -tx1 | tr -d ' \n'; }

# Prints container.toml with the token, with an address of metrics that Prometheus can reach, and with the
# reason why clients need neither a login nor TLS.
configuration() {
    sed -e '/^# other machines can reach. The broker/,/^# on 127.0.0.1 only/d' \
        -e '/^# 0.0.0.0 is/c# Compose publishes the ports on 127.0.0.1 alone. Add [auth] and [tls], and remove the key insecure, before\
# other machines can reach them.' \
        -e 's/^\[server\]$/&\ninsecure = "compose.yaml publishes the ports on 127.0.0.1 alone"/' \
        -e '/^\[metrics\]$/,$ {
        /^# Access from other machines/d
        s/^bind_addr = .*/bind_addr = "0.0.0.0:9090"\ntoken = "'"$1"'"/
    }' "$here/container.toml"
}

if ! $dry_run; then
    { mkdir -p "$secrets" && chmod 0700 "$secrets"; } || fail "cannot make the folder $secrets"
fi
random_hex 32 | make metrics-token
if $dry_run && [ ! -e "$secrets/metrics-token" ]; then
    token=""
else
    token=$(<"$secrets/metrics-token")
    [[ "$token" =~ ^[A-Za-z0-9._~+/=-]{16,}$ ]] ||
        fail "$secrets/metrics-token has to be one line of at least 16 letters, digits and ._~+/=-"
fi
configuration "$token" | make blipmq.toml
random_hex 16 | make grafana-admin-password
