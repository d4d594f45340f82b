"""Starts the broker of a test: blipmq, or nats-server.

SERVER names which (default: blipmq); BLIPMQ and NATS_SERVER are the paths of their binaries. Their
configurations are in ../servers, one for each kind of authentication. server.mjs and the server.rs
of ../async_nats do the same.
"""

import os
import re
import signal
import subprocess
import tempfile
import threading
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
PATIENCE = 30
# The folder of certificates that ../run.py has made.
CERTIFICATES = os.environ.get("CERTIFICATES", "")
# The line that each prints once clients can connect, and the pattern of the port.
READY = " is ready"
PORT = re.compile(r"(?:NATS|client connections) on 127\.0\.0\.1:(\d+)")


def command(kind, config):
    if kind == "blipmq":
        binary = os.environ.get("BLIPMQ", str(ROOT / "target/debug/blipmq"))
        return [binary, "serve", "--config", config]
    return [os.environ.get("NATS_SERVER", "nats-server"), "--config", config]


class Server:
    """A running broker. It is killed when the `with` block ends."""

    def __init__(self, kind, auth, port):
        self.kind, self.auth, self.port = kind, auth, port
        self._folder = tempfile.TemporaryDirectory(prefix="blipmq-nats-")
        self._run()

    def _run(self):
        ending = "toml" if self.kind == "blipmq" else "conf"
        template = HERE.parent / "servers" / self.kind / f"{self.auth}.{ending}"
        config = Path(self._folder.name) / template.name
        # nats-server has -1 for a port that the system chooses.
        port = self.port or (0 if self.kind == "blipmq" else -1)
        text = template.read_text().replace("@PORT@", str(port))
        config.write_text(text.replace("@CERTIFICATES@", CERTIFICATES))
        self._lines, self._ready = [], threading.Event()
        self._process = subprocess.Popen(
            command(self.kind, str(config)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True)
        self._reader.start()
        in_time = self._ready.wait(PATIENCE)
        ports = PORT.findall("\n".join(self._lines))
        if not in_time or not ports:
            self.kill()
            raise AssertionError(f"{self.kind} is not ready; it said:\n" + "\n".join(self._lines))
        self.port = int(ports[-1])

    def _read(self, output):
        """Keeps reading the output, so that the broker never blocks on a full pipe."""
        with output:
            for line in output:
                self._lines.append(line.rstrip())
                said = "\n".join(self._lines)
                if not self._ready.is_set() and READY in said and PORT.search(said):
                    self._ready.set()
        self._ready.set()

    @property
    def url(self):
        return f"nats://127.0.0.1:{self.port}"

    def stop(self):
        """Sends SIGTERM and waits for the end."""
        self._end(signal.SIGTERM)

    def kill(self):
        """Sends SIGKILL and waits for the end."""
        self._end(signal.SIGKILL)

    def _end(self, how):
        self._process.send_signal(how)
        self._process.wait(PATIENCE)
        self._reader.join(PATIENCE)

    def start_again(self):
        """Starts the same broker again on the same port."""
        self._run()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()
        self._folder.cleanup()


def start(kind=None, auth="none", port=None):
    """Starts a broker and waits until clients can connect. `auth` is a file of ../servers."""
    return Server(kind or os.environ.get("SERVER", "blipmq"), auth, port)
