"""The innocent bystander: a publisher with a steady rate, and subscribers, on topics of their own.

Runs as a process of its own. Latency counts from when a message was due, so a publisher that is held
up does not hide the time.
"""

import select
import struct
import time

import blip
import nats
from watcher import Watcher, answer, percentile

TOPIC = "witness.topic"
# The number of the message, and when it was due; padded to what a small message is like.
PAYLOAD = struct.Struct("<Qd16x")
TICK_S = 0.002
SETTLE_S = 5.0
FRAME_MESSAGES_MAX = 256
FIRST_RECORD_AT = blip.MESSAGES_HEAD.size + 4


class Subscriber:
    """Counts what one connection receives."""

    def __init__(self, wire):
        self.wire = wire
        wire.socket.setblocking(False)
        self.total_received, self.total_reported = 0, 0
        self.received, self.reported = 0, 0
        self.begin()

    def begin(self):
        self.total_received += self.received
        self.total_reported += self.reported
        self.received, self.reported = 0, 0
        self.latencies = []
        self.last_at, self.silence_s = time.monotonic(), 0.0

    def take(self):
        """Reads once; returns whether the connection is still open."""
        try:
            data = self.wire.socket.recv(256 * 1024)
        except BlockingIOError:
            return True
        except OSError:
            return False
        self.wire.unparsed += data
        before = self.received
        self.parse()
        if self.received > before:
            self.end_silence()
        return bool(data)

    def end_silence(self):
        now = time.monotonic()
        self.silence_s = max(self.silence_s, now - self.last_at)
        self.last_at = now

    def note(self, data, at):
        self.latencies.append(time.monotonic() - PAYLOAD.unpack_from(data, at)[1])


class BlipSubscriber(Subscriber):
    def __init__(self, port, login):
        wire = blip.Blip(port, login)
        wire.subscribe(1, TOPIC)
        super().__init__(wire)

    def parse(self):
        for kind, count, body in self.wire.frames():
            if kind == blip.MESSAGES:
                self.received += count
                self.note(body, FIRST_RECORD_AT)
            elif kind == blip.GAP:
                self.reported += blip.GAP_BODY.unpack_from(body)[3]


class NatsSubscriber(Subscriber):
    def __init__(self, port, login):
        wire = nats.Nats(port, login)
        wire.send(f"SUB {TOPIC} 1\r\n".encode())
        wire.ping()
        super().__init__(wire)

    def parse(self):
        data, at = self.wire.unparsed, 0
        while (end := data.find(b"\r\n", at)) >= 0:
            following = end + 2
            if data.startswith(b"MSG", at):
                following += PAYLOAD.size + 2
                if following > len(data):
                    break
                self.received += 1
                self.note(data, end + 2)
            elif data.startswith(b"PING", at):
                self.wire.socket.send(b"PONG\r\n")
            at = following
        del data[:at]


class Publisher:
    """Publishes what is due, as far as the broker takes it."""

    is_paused = False

    def __init__(self, port, login, rate):
        self.wire = blip.Blip(port, login)
        self.topic = self.wire.open(1, TOPIC)
        self.wire.socket.setblocking(False)
        self.rate = rate
        self.pending = b""
        self.number, self.start_time = 0, time.monotonic()
        self.begin()

    def begin(self):
        self.sent = 0

    def publish(self):
        """Sends until nothing is due or the socket is full; returns whether the connection is open."""
        due = self.number if self.is_paused else int((time.monotonic() - self.start_time) * self.rate)
        try:
            while self.pending or self.number < due:
                if not self.pending:
                    self.pending = self.frame(min(due - self.number, FRAME_MESSAGES_MAX))
                self.pending = self.pending[self.wire.socket.send(self.pending) :]
        except BlockingIOError:
            pass
        except OSError:
            return False
        return True

    def frame(self, count):
        numbers = range(self.number, self.number + count)
        payloads = [PAYLOAD.pack(each, self.start_time + each / self.rate) for each in numbers]
        self.number += count
        self.sent += count
        return blip.messages(self.topic, payloads)

    def take(self):
        """Answers PINGs; returns whether the connection is open."""
        try:
            data = self.wire.socket.recv(65_536)
        except BlockingIOError:
            return True
        except OSError:
            return False
        self.wire.unparsed += data
        for kind, _, body in blip.frames(self.wire.unparsed):
            if kind == blip.PING:
                self.pending += blip.frame(blip.PONG, body)
        return bool(data)


class Witness:
    """The loop of the process."""

    def __init__(self, pipe, ports, rate, blip_count, nats_count, login):
        self.pipe = pipe
        self.subscribers = [BlipSubscriber(ports["blip"], login) for _ in range(blip_count)]
        self.subscribers += [NatsSubscriber(ports["nats"], login) for _ in range(nats_count)]
        self.publisher = Publisher(ports["blip"], login, rate)
        self.closed = 0
        # Until when the publisher rests and subscribers may still receive what they are owed.
        self.settle_deadline = None
        self.poll = select.epoll()
        self.by_fd = {one.wire.fileno(): one for one in [*self.subscribers, self.publisher]}
        for descriptor in [*self.by_fd, pipe.fileno()]:
            self.poll.register(descriptor, select.EPOLLIN)
        self.begin()

    def begin(self):
        self.start_time = time.monotonic()
        for one in [*self.subscribers, self.publisher]:
            one.begin()

    def run(self):
        answer(self.pipe)
        while True:
            for descriptor, _ in self.poll.poll(TICK_S):
                if descriptor == self.pipe.fileno():
                    self.obey()
                elif not self.by_fd[descriptor].take():
                    self.drop(descriptor)
            descriptor = self.publisher.wire.fileno()
            if descriptor in self.by_fd and not self.publisher.publish():
                self.drop(descriptor)
            if self.settle_deadline is not None:
                self.settle()

    def drop(self, descriptor):
        self.closed += 1
        self.poll.unregister(descriptor)
        del self.by_fd[descriptor]

    def obey(self):
        (command,) = self.pipe.recv()
        if command == "settle":
            self.publisher.is_paused = True
            self.settle_deadline = time.monotonic() + SETTLE_S
            return
        report = self.report()
        if command == "begin":
            self.begin()
        answer(self.pipe, report)

    def settle(self):
        """Answers when nothing is owed any more, or at the deadline: the accounts of the whole life."""
        received = sum(one.total_received + one.received for one in self.subscribers)
        reported = sum(one.total_reported + one.reported for one in self.subscribers)
        owed = self.publisher.number * len(self.subscribers)
        if received + reported < owed and time.monotonic() < self.settle_deadline:
            return
        self.settle_deadline = None
        answer(self.pipe, {"owed": owed, "received": received, "reported": reported})

    def report(self):
        """What happened since `begin`."""
        latencies = sorted(each for one in self.subscribers for each in one.latencies)
        for one in self.subscribers:
            one.end_silence()
        seconds = time.monotonic() - self.start_time
        received = sum(one.received for one in self.subscribers)
        return {
            "seconds": seconds,
            "sent": self.publisher.sent,
            "received": received,
            "reported": sum(one.reported for one in self.subscribers),
            "owed": self.publisher.sent * len(self.subscribers),
            "rate": received / seconds,
            "p50_s": percentile(latencies, 0.5),
            "p99_s": percentile(latencies, 0.99),
            "worst_s": latencies[-1] if latencies else 0.0,
            "silence_s": max(one.silence_s for one in self.subscribers),
            "closed": self.closed,
        }


def serve(pipe, *arguments):
    Witness(pipe, *arguments).run()


def start(broker, cpus, rate=1_000, blip_count=2, nats_count=2, login=("", "")):
    ports = {"blip": broker.blip, "nats": broker.nats}
    return Watcher(serve, ports, rate, blip_count, nats_count, login, cpus=cpus)
