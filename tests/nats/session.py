"""A session: steps of 1 to 3 connections, and the events that each of them received.

`Session` is the script, `Side` plays it to one server. `differential.py` plays it to two servers
step by step. After each step every connection that has said something sends PING and reads until
its PONG, or until it is closed: no sleeps, so what is read belongs to the step.
"""

import re
import select
import socket
import ssl
import time
from dataclasses import dataclass, field, replace

import tunnel

# How long a PONG may take before the transcript has a TIMEOUT.
PONG_PATIENCE_S = 5.0
# Between segments that the server shall read one by one. Not for synchronisation: nothing depends
# on whether it is long enough.
SEGMENT_PAUSE_S = 0.0005


@dataclass(frozen=True)
class Send:
    """The bytes of one connection in one step."""

    connection: int
    commands: tuple  # of bytes; all that is sent is these, joined
    cuts: tuple = ()  # where the bytes are split into segments
    # The number of PONGs that the commands cause, where it does not follow from them.
    pongs: int | None = None

    def data(self):
        return b"".join(self.commands)

    def segments(self):
        data = self.data()
        edges = [0, *sorted({cut for cut in self.cuts if 0 < cut < len(data)}), len(data)]
        return [data[start:end] for start, end in zip(edges, edges[1:])]

    def pongs_due(self):
        if self.pongs is not None:
            return self.pongs
        return sum(command[:4].upper() == b"PING" for command in self.commands)


@dataclass(frozen=True)
class Step:
    """`open`, `send` or `close`. Several sends in one step happen at once."""

    action: str
    connection: int | None = None
    sends: tuple = ()
    # Without: the commands end in the middle of something, where a PING would be part of it.
    sync: bool = True

    def __str__(self):
        if self.action != "send":
            return f"{self.action} c{self.connection}"
        sends = [
            f"c{send.connection} < " + " / ".join(repr(segment)[1:] for segment in send.segments())
            for send in self.sends
        ]
        return "   at once with   ".join(sends) + ("" if self.sync else "   (no PING yet)")


@dataclass(frozen=True)
class Session:
    name: str
    steps: tuple
    auth: str = "none"

    def __str__(self):
        return "\n".join(f"{number:3}  {step}" for number, step in enumerate(self.steps))


def opened(connection):
    return Step("open", connection)


def closed(connection):
    return Step("close", connection)


def sent(connection, *commands, cuts=(), pongs=None, sync=True):
    send = Send(connection, commands, tuple(cuts), pongs)
    return Step("send", sends=(send,), sync=sync)


def at_once(*steps):
    """The sends of several steps as one."""
    return Step("send", sends=tuple(send for step in steps for send in step.sends))


def uncut(step):
    return replace(step, sends=tuple(replace(send, cuts=()) for send in step.sends))


@dataclass(frozen=True)
class Message:
    subject: bytes
    sid: bytes
    reply: bytes | None
    headers: bytes | None
    payload: bytes

    def is_no_responders(self):
        # What a client publishes may have the status, but not this header.
        return self.headers is not None and self.headers.startswith(b"NATS/1.0 503\r\nNats-Subject: ") and not self.payload

    def publisher(self):
        """The publisher and the number of the message, if the payload has them."""
        tag = re.match(rb"c(\d):(\d+)", self.payload)
        return (int(tag[1]), int(tag[2])) if tag else None


# What a connection gets: ("INFO", bytes), ("+OK", rest), ("-ERR", text), ("PONG", rest), ("PING", ""),
# ("MSG", Message), ("CLOSED", how), ("TIMEOUT", what), ("GARBAGE", bytes).
def shown(event):
    kind, value = event
    if kind != "MSG":
        return f"{kind} {value!r}" if value else kind
    head = "HMSG" if value.headers is not None else "MSG"
    parts = [f"{head} {value.subject!r} sid {value.sid!r}"]
    parts += [f"reply {value.reply!r}"] if value.reply is not None else []
    parts += [f"headers {value.headers!r}"] if value.headers is not None else []
    payload = value.payload
    return ", ".join(parts) + f", payload {payload[:60]!r}" + (f"... {len(payload)} B" if payload[60:] else "")


class Connection:
    """One connection of a session to one server."""

    def __init__(self, port, context=None):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PONG_PATIENCE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context:
            self.socket = tunnel.upgraded(self.socket, context)
            self.socket.settimeout(PONG_PATIENCE_S)
        self.unparsed = b""
        self.events = []  # of the current step
        self.is_closed = False
        self.has_spoken = False
        self.pongs, self.pongs_due = 0, 0
        self.read_until(lambda: self.events)

    def send(self, segments):
        self.has_spoken = True
        for number, segment in enumerate(segments):
            if number:
                time.sleep(SEGMENT_PAUSE_S)
            self.send_now(segment)

    def send_now(self, data):
        if self.is_closed:
            return
        try:
            self.socket.sendall(data)
        except OSError:
            # Bytes that the server sent before it closed can still be read.
            self.read_until(lambda: False)

    def ping(self):
        self.pongs_due += 1
        self.send_now(b"PING\r\n")

    def read_until_pong(self):
        self.read_until(lambda: self.pongs >= self.pongs_due)
        # After a PONG that did not come, later steps shall not wait for it again.
        self.pongs_due = self.pongs

    def read_until(self, is_enough):
        deadline = time.monotonic() + PONG_PATIENCE_S
        while not self.is_closed and not is_enough():
            left = deadline - time.monotonic()
            if left <= 0:
                self.events.append(("TIMEOUT", ""))
                return
            self.read(left)

    def read(self, patience_s):
        """Reads the bytes that have arrived, or waits for some."""
        if self.is_closed or not select.select([self.socket], [], [], patience_s)[0]:
            return
        try:
            data = self.socket.recv(1 << 20)
        except OSError:
            self.end("reset")
            return
        if not data:
            self.end("end of stream")
            return
        self.unparsed += data
        self.parse()

    def end(self, how):
        if self.unparsed:
            self.events.append(("GARBAGE", self.unparsed))
        self.events.append(("CLOSED", how))
        self.is_closed = True
        self.socket.close()

    def parse(self):
        while (line_end := self.unparsed.find(b"\r\n")) >= 0:
            line, rest = self.unparsed[:line_end], self.unparsed[line_end + 2 :]
            verb, _, arguments = line.partition(b" ")
            if verb in (b"MSG", b"HMSG"):
                message = self.message(verb, arguments, rest)
                if message is None:
                    return
                self.events.append(("MSG", message[0]))
                rest = rest[message[1] :]
            elif verb == b"PING":
                self.events.append(("PING", ""))
                self.send_now(b"PONG\r\n")
            elif verb in (b"INFO", b"+OK", b"-ERR", b"PONG"):
                self.pongs += verb == b"PONG"
                self.events.append((verb.decode(), arguments if verb == b"INFO" else arguments.decode("latin-1")))
            else:
                self.events.append(("GARBAGE", line))
            self.unparsed = rest

    def message(self, verb, arguments, rest):
        """The message and its length after the line; None until it is all there."""
        words = arguments.split(b" ")
        sizes = 2 if verb == b"HMSG" else 1
        named, numbers = words[:-sizes], words[-sizes:]
        if not 2 <= len(named) <= 3 or not all(number.isdigit() for number in numbers):
            return Message(b"?", b"?", None, None, b"unreadable line: " + arguments), 0
        header_len = int(numbers[0]) if sizes == 2 else 0
        total = int(numbers[-1])
        if len(rest) < total + 2:
            return None
        if rest[total : total + 2] != b"\r\n":
            return Message(b"?", b"?", None, None, b"no line end after: " + rest[: total + 2]), total + 2
        headers = rest[:header_len] if sizes == 2 else None
        reply = named[2] if len(named) == 3 else None
        return Message(named[0], named[1], reply, headers, rest[header_len:total]), total + 2


@dataclass
class Side:
    """One server, playing one session."""

    port: int
    # The terms of TLS, if it is spoken.
    context: ssl.SSLContext | None = None
    connections: dict = field(default_factory=dict)

    def begin(self, step):
        """Carries out the step without waiting for its effects."""
        for connection in self.connections.values():
            connection.events = []
        if step.action == "open":
            self.connections[step.connection] = Connection(self.port, self.context)
        elif step.action == "close":
            connection = self.connections.get(step.connection)
            if connection and not connection.is_closed:
                hang_up(connection)
        for send in step.sends:
            connection = self.connections.get(send.connection)
            if connection and not connection.is_closed:
                connection.pongs_due += send.pongs_due()
                connection.send(send.segments())

    def sync(self, step):
        """Waits for all effects of the step, as far as PONGs prove them."""
        if step.action == "open" or not step.sync:
            return
        senders = [send.connection for send in step.sends]
        talkers = [
            number
            for number, connection in self.connections.items()
            if connection.has_spoken and not connection.is_closed
        ]
        # Those that sent come first: once they have their PONG, what they published is on its way,
        # and the PONG of the others comes behind it. Several that sent are each other's others.
        others = [n for n in talkers if n not in senders or len(senders) > 1]
        for group in ([n for n in talkers if n in senders], others):
            group = [number for number in group if not self.connections[number].is_closed]
            for number in group:
                self.connections[number].ping()
            for number in group:
                self.connections[number].read_until_pong()

    def read_more(self, patience_s):
        """Reads from any connection; False if nothing came in time."""
        living = [connection for connection in self.connections.values() if not connection.is_closed]
        sockets = [connection.socket for connection in living]
        ready = select.select(sockets, [], [], patience_s)[0] if sockets else []
        for connection in living:
            if connection.socket in ready:
                connection.read(0)
        return bool(ready)

    def events(self):
        return {number: list(connection.events) for number, connection in self.connections.items()}

    def end(self):
        for connection in self.connections.values():
            if not connection.is_closed:
                hang_up(connection)


def hang_up(connection):
    """Closes, and waits until the server has closed too: its subscriptions are gone then."""
    try:
        connection.socket.shutdown(socket.SHUT_WR)
    except OSError:
        pass
    connection.read_until(lambda: False)
    connection.socket.close()
    connection.is_closed = True
