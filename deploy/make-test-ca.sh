#!/usr/bin/env bash
# Makes an authority, a certificate of a broker and certificates of users, for trying TLS.
set -euo pipefail

usage() {
    cat <<'EOF'
Usage: make-test-ca.sh [OPTIONS] [USER...]

Makes certificates for trying TLS, with the openssl command line. All keys are ECDSA P-256.

  ca.pem, ca.key           an authority of your own: clients trust ca.pem, nobody else needs ca.key
  server.pem, server.key   of a broker on this machine: [tls] cert_file and key_file
  USER.pem, USER.key       of each USER, for --tls-cert and --tls-key; a USER with an @ is also in the
                           certificate as an e-mail address

Existing files stay: run this again for further users. Who has ca.key can pretend to be every broker and
every user, so use an authority that is run as one for anything but tests.

  --out DIR     the folder (default: certificates/ in the current one)
  --host NAME   a name or an IP address of the broker, repeatable (default: localhost, the name of this
                machine, 127.0.0.1 and ::1)
  --days N      how long the certificates are valid, 1 to 825 (default: 30)
  --dry-run     print what would be done, change nothing
  --undo        remove what this script has made, and the folder if it is empty then
  --help        this text

Then, for the broker:                            and for a client:
  [tls]                                            blipmq sub 'orders.>' --server blips://localhost:7878 \
  cert_file = "certificates/server.pem"                --tls-ca certificates/ca.pem
  key_file = "certificates/server.key"
EOF
}

fail() {
    echo "make-test-ca.sh: $1" >&2
    exit "${2:-1}"
}

dry_run=false
undo=false
out=certificates
days=30
hosts=()
users=()
while [ $# -gt 0 ]; do
    case "$1" in
        --dry-run) dry_run=true ;;
        --undo) undo=true ;;
        --help | -h) usage; exit 0 ;;
        --out | --host | --days)
            [ $# -ge 2 ] || fail "$1 needs a value; see --help" 2
            case "$1" in
                --out) out=$2 ;;
                --host) hosts+=("$2") ;;
                --days) days=$2 ;;
            esac
            shift
            ;;
        -*) fail "unknown argument $1; see --help" 2 ;;
        *) users+=("$1") ;;
    esac
    shift
done
readonly out days

if ! [[ "$days" =~ ^[1-9][0-9]{0,2}$ ]] || [ "$days" -gt 825 ]; then
    fail "--days $days is not a number from 1 to 825" 2
fi
[ ${#hosts[@]} -gt 0 ] || hosts=(localhost "$(uname -n)" 127.0.0.1 ::1)
for host in "${hosts[@]}"; do
    [[ "$host" =~ ^[A-Za-z0-9.:_*-]+$ ]] || fail "--host $host is neither a name nor an address" 2
done
for user in "${users[@]}"; do
    [[ "$user" =~ ^[A-Za-z0-9][A-Za-z0-9.@_+-]*$ ]] ||
        fail "$user cannot be the name of a file: use letters, digits and .@_+-" 2
    [[ "$user" != ca && "$user" != server ]] || fail "$user has a meaning of its own here" 2
done

readonly authority="BlipMQ test authority"

# Returns whether a certificate was made by this script: others in the folder are none of its business.
is_own() {
    [ -e "$1" ] && [ -e "${1%.pem}.key" ] &&
        [[ "$(openssl x509 -in "$1" -noout -issuer 2>/dev/null)" == *"$authority"* ]]
}

if $undo; then
    command -v openssl >/dev/null || fail "openssl is missing: install the package openssl"
    found=()
    for file in "$out"/*.pem; do
        ! is_own "$file" || found+=("$file" "${file%.pem}.key")
    done
    [ ${#found[@]} -gt 0 ] || echo "$out has no certificates"
    for file in "${found[@]}"; do
        if $dry_run; then
            echo "would remove $file"
        else
            rm "$file"
            echo "removed $file"
        fi
    done
    if ! $dry_run && [ -d "$out" ]; then rmdir --ignore-fail-on-non-empty "$out"; fi
    exit 0
fi

work=""
clean_up() { [ -z "$work" ] || rm -rf "$work"; }
trap clean_up EXIT

if ! $dry_run; then
    command -v openssl >/dev/null || fail "openssl is missing: install the package openssl"
    mkdir -p "$out" || fail "cannot make the folder $out"
    work=$(mktemp -d "$out/.new.XXXXXX")
    # Not the system's configuration, which adds extensions of its own.
    printf '[req]\ndistinguished_name = name\nprompt = no\nutf8 = yes\n[name]\n' >"$work/openssl.cnf"
fi

# quietly COMMAND...: runs openssl, whose progress is noise unless it fails.
quietly() {
    "$@" >"$work/log" 2>&1 || { cat "$work/log" >&2; fail "this failed, see above: $*"; }
}

# Prints a serial number: positive, and unique without a file that counts.
serial() { echo "0x4$(head -c 15 /dev/urandom | od -An -v -tx1 | tr -d ' \n')"; }

# make NAME SUBJECT EXTENSIONS...: makes a key and a certificate that the authority signs, or that signs
# itself if it is the authority. A partly written file never has the final name.
make() {
    local name=$1 subject=$2 signed=(-CA "$out/ca.pem" -CAkey "$out/ca.key")
    shift 2
    if [ -e "$out/$name.pem" ] && [ -e "$out/$name.key" ]; then
        echo "$out/$name.pem is there already"
        return
    fi
    if $dry_run; then
        echo "would write $out/$name.pem and $out/$name.key: $subject, $days days, $*"
        return
    fi
    [ "$name" != ca ] || signed=(-signkey "$work/ca.key")
    quietly openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$work/$name.key"
    quietly openssl req -new -config "$work/openssl.cnf" -key "$work/$name.key" -subj "/CN=$subject" \
        -out "$work/request"
    printf '%s\n' "$@" >"$work/extensions"
    quietly openssl x509 -req -in "$work/request" "${signed[@]}" -set_serial "$(serial)" -days "$days" \
        -sha256 -extfile "$work/extensions" -out "$work/$name.pem"
    chmod 0600 "$work/$name.key"
    chmod 0644 "$work/$name.pem"
    mv "$work/$name.key" "$work/$name.pem" "$out/"
    echo "wrote $out/$name.pem and $out/$name.key"
}

names=""
for host in "${hosts[@]}"; do
    kind=DNS
    [[ ! "$host" =~ ^[0-9.]+$|: ]] || kind=IP
    names+=${names:+,}$kind:$host
done

make ca "$authority" "basicConstraints=critical,CA:TRUE" "keyUsage=critical,keyCertSign,cRLSign" \
    "subjectKeyIdentifier=hash"
readonly leaf=("basicConstraints=critical,CA:FALSE" "keyUsage=critical,digitalSignature"
    "subjectKeyIdentifier=hash")
make server "${hosts[0]}" "${leaf[@]}" extendedKeyUsage=serverAuth "subjectAltName=$names"
for user in "${users[@]}"; do
    extensions=("${leaf[@]}" extendedKeyUsage=clientAuth)
    [[ "$user" != *@* ]] || extensions+=("subjectAltName=email:$user")
    make "$user" "$user" "${extensions[@]}"
done
