"""The NATS text protocol: a client that is as rude as its caller wants."""

import json
import time

from wire import PATIENCE_S, Wire

OPTIONS = {"verbose": False, "headers": True, "no_responders": True}


def connect(**more):
    return b"CONNECT " + json.dumps(OPTIONS | more).encode() + b"\r\n"


def publish(subject, payload=b"", reply=""):
    reply = f"{reply} " if reply else ""
    return f"PUB {subject} {reply}{len(payload)}\r\n".encode() + payload + b"\r\n"


class Nats(Wire):
    """A client that has sent CONNECT. `login` is user and password."""

    def __init__(self, port, login=("", ""), **options):
        super().__init__(port, **options)
        self.errors = []
        self.received_messages = 0
        user, password = login
        self.send(connect(user=user, **{"pass": password}) if user else connect())
        self.ping()

    def ping(self, patience_s=PATIENCE_S):
        """Waits until the broker has read all that was sent; counts messages and errors on the way."""
        self.send(b"PING\r\n")
        self.read_until(b"PONG", patience_s)

    def read_until(self, verb, patience_s=PATIENCE_S):
        """Reads until a line begins with the verb; returns whether one came in time."""
        deadline = time.monotonic() + patience_s
        while True:
            if self.parse(verb):
                return True
            left = deadline - time.monotonic()
            if left <= 0 or not self.receive(left):
                return False

    def read_messages(self, count, patience_s=PATIENCE_S):
        """Reads until as many messages have come in all; returns whether they came in time."""
        deadline = time.monotonic() + patience_s
        while self.received_messages < count:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            self.receive(left)
            self.parse(None)
        return True

    def parse(self, verb):
        """Takes whole lines and messages off the buffer, up to a line that begins with the verb."""
        at, found = 0, False
        while not found and (end := self.unparsed.find(b"\r\n", at)) >= 0:
            line = bytes(self.unparsed[at:end])
            following = end + 2
            if line.startswith((b"MSG ", b"HMSG ")):
                following += int(line.rsplit(b" ", 1)[1]) + 2
                if following > len(self.unparsed):
                    break
                self.received_messages += 1
            elif line.startswith(b"-ERR"):
                self.errors.append(line.decode("latin-1"))
            found = verb is not None and line.startswith(verb)
            at = following
        del self.unparsed[:at]
        return found
