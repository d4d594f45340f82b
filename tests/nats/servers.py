"""Starts the two servers that `differential.py` compares, configured alike.

`start(kind, auth, cores)` is for `nats-server` or `blipmq`; NATS_SERVER and BLIPMQ are the paths of their
binaries. Who may do what is in USERS and TOKEN below, from which both configurations are written,
so that they cannot drift apart.
"""

import os
import re
import subprocess
import tempfile
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 30
KINDS = ("nats-server", "blipmq")

TOKEN = "t0k"
USERS = [
    {"user": "alice", "password": "wonderland"},
    {
        "user": "bob",
        "password": "builder",
        "publish": ["open.>", "both"],
        "publish_deny": ["open.secret", "open.*.deep"],
        "subscribe": ["open.>", "_INBOX.>", "both"],
        "subscribe_deny": ["open.secret", "open.*.deep"],
    },
    {"user": "carol", "password": "c", "publish_deny": ["closed.>"], "subscribe_deny": ["closed.>"]},
    {"user": "dave", "password": "d", "publish": ["open.one"]},
    {"user": "erin", "password": "e", "subscribe": ["open.one"]},
    {
        "user": "frank",
        "password": "f",
        "subscribe": ["open.*", "open.a team", "jobs workers", "jobs v1.*"],
        "subscribe_deny": ["open.one bad"],
    },
    {"user": "grace", "password": "g", "publish": ["open.one"], "allow_responses": 2},
    {"user": "heidi", "password": "h", "allow_responses": True},
]
# As "users", and clients without credentials are this one.
GUEST = "dave"
AUTHS = ("none", "token", "users", "guest")
# The cores of blipmq, of those that are allowed.
CORES = ("one", "all")


def quoted(texts):
    return "[" + ", ".join(f'"{text}"' for text in texts) + "]"


def toml(value):
    match value:
        case True:
            return "true"
        case int():
            return f"{{ max = {value}, expires_ms = 60000 }}"
        case str():
            return f'"{value}"'
        case _:
            return quoted(value)


def nats_server_config(auth, _, certificates):
    lines = ['host: "127.0.0.1"', "port: -1"]
    if certificates:
        lines.append(f'tls {{ cert_file: "{certificates}/server.pem", key_file: "{certificates}/server.key" }}')
    # A long time to authenticate, so that a busy machine does not end a session.
    if auth == "token":
        lines += ["authorization {", "  timeout: 30", f'  token: "{TOKEN}"', "}"]
    elif auth in ("users", "guest"):
        if auth == "guest":
            lines.append(f"no_auth_user: {GUEST}")
        lines += ["authorization {", "  timeout: 30", "  users: ["]
        for user in USERS:
            lines.append(f'    {{ user: "{user["user"]}", password: "{user["password"]}", permissions: {{')
            for verb in ("publish", "subscribe"):
                rules = [
                    f"{name}: {quoted(user[key])}"
                    for name, key in (("allow", verb), ("deny", f"{verb}_deny"))
                    if key in user
                ]
                if rules:
                    lines.append(f"      {verb}: {{ {', '.join(rules)} }}")
            match user.get("allow_responses"):
                case True:
                    lines.append("      allow_responses: true")
                case int(most):
                    lines.append(f'      allow_responses: {{ max: {most}, expires: "1m" }}')
            lines.append("    } }")
        lines += ["  ]", "}"]
    return "\n".join(lines) + "\n"


def blipmq_config(auth, cores, certificates):
    cores = "all" if cores == "all" else min(os.sched_getaffinity(0))
    lines = ["[server]", 'bind_addr = "127.0.0.1:0"', f'cores = "{cores}"']
    lines += ["[nats]", 'bind_addr = "127.0.0.1:0"']
    if auth == "guest":
        lines.append(f'no_auth_user = "{GUEST}"')
    if certificates:
        lines += ["[tls]", f'cert_file = "{certificates}/server.pem"', f'key_file = "{certificates}/server.key"']
        lines.append('nats_handshake_first = "never"')
    lines += ["[metrics]", "enabled = false"]
    if auth == "token":
        lines += ["[auth]", f'token = "{TOKEN}"']
    elif auth in ("users", "guest"):
        for user in USERS:
            lines.append("[[auth.users]]")
            lines += [f"{key} = {toml(value)}" for key, value in user.items()]
    return "\n".join(lines) + "\n"


def command(kind, config):
    if kind == "blipmq":
        return [os.environ.get("BLIPMQ", str(ROOT / "target/debug/blipmq")), "serve", "--config", config]
    return [os.environ.get("NATS_SERVER", "nats-server"), "--config", config]


# For each kind: the configuration, the pattern of the port, and the line that is printed when clients can
# connect.
CONFIG = {"nats-server": nats_server_config, "blipmq": blipmq_config}
PORT = {
    "nats-server": re.compile(r"client connections on 127\.0\.0\.1:(\d+)"),
    "blipmq": re.compile(r"NATS on 127\.0\.0\.1:(\d+)"),
}
READY = {"nats-server": "Server is ready", "blipmq": "NATS on "}


class Server:
    """A running server. `stop`, or the end of a `with` block, kills it."""

    def __init__(self, kind, auth, cores, certificates):
        self.kind, self.auth = kind, auth
        self._folder = tempfile.TemporaryDirectory(prefix="blipmq-differential-")
        config = Path(self._folder.name) / f"{auth}.conf"
        config.write_text(CONFIG[kind](auth, cores, certificates))
        self._said, self._ready = [], threading.Event()
        arguments = command(kind, str(config))
        try:
            self._process = subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            )
        except OSError as error:
            variable = kind.replace("-", "_").upper()
            raise SystemExit(f"cannot start {arguments[0]}: {error.strerror}; set {variable} to its path") from error
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        in_time = self._ready.wait(PATIENCE_S)
        port = PORT[kind].search("\n".join(self._said))
        if not in_time or not port:
            self.stop()
            raise SystemExit(f"{kind} ({auth}) is not ready; it said:\n" + "\n".join(self._said))
        self.port = int(port[1])

    def _read(self):
        """Keeps reading the output, so that the server never blocks on a full pipe."""
        with self._process.stdout as output:
            for line in output:
                # The last lines are for the report of a crash.
                self._said = [*self._said[-200:], line.rstrip()]
                if READY[self.kind] in line:
                    self._ready.set()
        self._ready.set()

    def log_tail(self):
        return self._said[-12:]

    def has_ended(self):
        return self._process.poll() is not None

    def stop(self):
        self._process.kill()
        self._process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        self._folder.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def start(kind, auth="none", cores="one", certificates=None):
    """Starts a server and waits until clients can connect. `auth` and `cores` as in AUTHS and CORES. With a
    folder of certificates it wants TLS behind INFO."""
    return Server(kind, auth, cores, certificates)
