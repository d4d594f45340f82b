"""A real broker with traffic: started, loaded, drained and stopped by its own handle.

Used by `against_broker.py`.

The traffic: publishers that run until they are stopped, subscribers that read, and one subscriber for
each policy in STALLED that is stopped once it has subscribed, so that its queue overflows.
"""

import json
import re
import signal
import subprocess
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

PATIENCE_S = 60
LINE = re.compile(r"is ready on (?P<blip>[\d.:]+).*metrics on (?P<metrics>http://[\d.:]+)")
# Hostile names, of characters that topics may have.
HOSTILE = ["orders.<img/src=x/onerror=alert(1)>", "orders.\"'&amp;<b>bold</b>", "orders.日本.🔥"]
# Long enough to fill the sockets within seconds.
PAYLOAD = "x" * 2_000
# Each loses in its own way.
STALLED = ["drop_oldest", "drop_new", "latest"]


class Broker:
    """`token` is the token of the metrics; the broker runs on free ports."""

    def __init__(self, binary, token=None):
        self.binary = binary
        self.token = token
        self.folder = tempfile.TemporaryDirectory(prefix="blipmq-dashboard-")
        config = Path(self.folder.name) / "blipmq.toml"
        lines = ["[server]", 'bind_addr = "127.0.0.1:0"', "drain_timeout_ms = 60000", "[nats]"]
        lines += ['bind_addr = "127.0.0.1:0"', "[metrics]", 'bind_addr = "127.0.0.1:0"']
        lines += [f'token = "{token}"'] if token else []
        config.write_text("\n".join(lines) + "\n")
        self.errors = (Path(self.folder.name) / "stderr").open("w+")
        self.process = subprocess.Popen(
            [binary, "--config", str(config)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
        )
        self.clients = []
        self.threads = []
        self.ending = threading.Event()
        try:
            self.find_ports()
        except BaseException:
            self.stop()
            raise

    def find_ports(self):
        for line in self.process.stdout:
            found = LINE.search(line)
            if found:
                self.addr = found["blip"].rstrip(".:,")
                self.url = found["metrics"]
                return
        self.errors.seek(0)
        raise AssertionError(f"the broker did not become ready; it said: {self.errors.read()}")

    def client(self, *arguments, **pipes):
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL} | pipes
        command = [self.binary, *arguments, "--server", self.addr]
        started = subprocess.Popen(command, stderr=subprocess.DEVNULL, **options)
        self.clients.append(started)
        return started

    def load(self):
        """Starts the traffic."""
        for pattern in ("orders.>", "prices.*", ">"):
            self.client("sub", pattern)
        self.client("sub", "prices.*", "--group", "workers")
        stalled = [
            self.client("sub", "orders.>", "--overflow", policy, "--capacity", "64")
            for policy in STALLED
        ]
        self.wait_for("subscriptions", self.all_subscribed)
        for process in stalled:
            process.send_signal(signal.SIGSTOP)
        for name in HOSTILE:
            subprocess.run(
                [self.binary, "pub", name, "one", "--server", self.addr],
                stdin=subprocess.DEVNULL,
                check=True,
                timeout=PATIENCE_S,
            )
        for topic in ("orders.eu", "orders.us", "prices.fx"):
            publisher = self.client("pub", topic, stdin=subprocess.PIPE)
            thread = threading.Thread(target=self.publish, args=(publisher,), daemon=True)
            thread.start()
            self.threads.append(thread)

    @staticmethod
    def all_subscribed(answer):
        """Whether the seven clients are subscribed; the queue of a group is not a client."""
        rows = [row for row in answer["rows"] if row["connection"]]
        return len(rows) == 7 and all(row["state"] == "in_force" for row in rows)

    def stalled(self):
        """Waits until the sockets are full, so that all stalled subscribers lose nearly everything."""

        def all_stall(answer):
            lost = [row["dropped_messages"] > 2 * row["delivered_messages"] for row in answer["rows"]]
            return sum(lost) >= len(STALLED)

        self.wait_for("subscriptions", all_stall)

    def publish(self, publisher):
        """Publishes a hundred messages, about twenty times a second."""
        lines = f"{PAYLOAD}\n".encode() * 100
        try:
            while not self.ending.wait(0.05):
                publisher.stdin.write(lines)
                publisher.stdin.flush()
        except (BrokenPipeError, ValueError):
            # The broker or this client has ended.
            pass

    def json(self, path):
        request = urllib.request.Request(f"{self.url}/api/v1/{path}")
        if self.token:
            request.add_header("Authorization", f"Bearer {self.token}")
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return json.load(answer)

    def wait_for(self, path, true):
        """Waits for an answer for which `true` holds."""
        end = time.monotonic() + PATIENCE_S
        while True:
            answer = self.json(path)
            if true(answer):
                return answer
            if time.monotonic() > end:
                shown = json.dumps(answer)[:2_000]
                raise AssertionError(f"{path} was not as wanted in {PATIENCE_S} s: {shown}")
            time.sleep(0.1)

    def drain(self):
        """Sends SIGTERM: the broker delivers accepted messages, and waits for subscribers that do not read."""
        self.process.terminate()

    def stop(self):
        self.ending.set()
        for process in [*self.clients, self.process]:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe:
                    try:
                        pipe.close()
                    except BrokenPipeError:
                        # The unwritten rest is lost.
                        pass
        for thread in self.threads:
            thread.join()
        self.errors.close()
        self.folder.cleanup()
