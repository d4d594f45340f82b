"""Section 6 of issue 12: more than the broker can carry, and subscribers that stand still."""

import select
import struct
import time

import blip
from scene import attack
from wire import Ended

LOAD_S = 5.0
PUBLISHERS = 4
# One reader is far slower than the publishers.
READ_PAUSE_S = 0.02
FRAME_MESSAGES = 500
PAYLOAD = bytes(64)
SLOW_SUBSCRIBER = 4290


class Publisher:
    """Publishes one frame again and again, as fast as the broker takes it."""

    def __init__(self, wire):
        self.wire = wire
        self.frame = blip.messages(wire.open(1, "load"), [PAYLOAD] * FRAME_MESSAGES)
        self.chunk = memoryview(self.frame * 8)
        self.at, self.sent_bytes, self.published = 0, 0, 0
        self.is_ending = False
        wire.socket.setblocking(False)

    def write(self):
        try:
            sent = self.wire.socket.send(self.chunk[self.at :])
        except BlockingIOError:
            return
        self.sent_bytes += sent
        self.at += sent
        if self.is_ending:
            self.chunk, self.at = self.chunk[self.at :], 0
        else:
            self.at %= len(self.chunk)

    def end(self):
        """From now on only the rest of the last frame is written, and a PING."""
        rest = -self.sent_bytes % len(self.frame)
        self.published = (self.sent_bytes + rest) // len(self.frame) * FRAME_MESSAGES
        self.chunk = memoryview(self.frame[len(self.frame) - rest :] + blip.ping() if rest else blip.ping())
        self.at = 0
        self.is_ending = True

    def is_taken(self):
        """Whether the broker has answered the PING behind the last frame."""
        try:
            self.wire.receive(0)
        except BlockingIOError:
            pass
        found = self.wire.frames()
        refused = [body for kind, _, body in found if kind == blip.ERROR]
        assert not refused, f"a publisher was refused: {refused[0]!r}"
        return any(kind == blip.PONG for kind, _, _ in found)


class Reader:
    """Counts what it receives and what it is told it missed. It reads at most once in `pause_s`."""

    def __init__(self, wire, pause_s):
        self.wire = wire
        self.pause_s, self.next_at = pause_s, 0.0
        self.received, self.reported = 0, 0
        self.error = None

    def is_reading(self):
        return self.error is None and time.monotonic() >= self.next_at

    def take(self):
        self.next_at = time.monotonic() + self.pause_s
        try:
            self.wire.receive(0)
        except Ended:
            self.error = self.error or "closed without a word"
        for kind, count, body in self.wire.frames():
            if kind == blip.MESSAGES:
                self.received += count
            elif kind == blip.GAP:
                self.reported += blip.GAP_BODY.unpack_from(body)[3]
            elif kind == blip.ERROR:
                self.error = blip.error_code(body)

    def is_settled(self, published):
        return self.error is not None or self.received + self.reported >= published


def overload(publishers, readers, seconds):
    """All publish and read for a time."""
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        reading = {one.wire.fileno(): one for one in readers if one.is_reading()}
        writing = {one.wire.fileno(): one for one in publishers if one.chunk}
        readable, writable, _ = select.select(reading, writing, [], min(left, READ_PAUSE_S))
        for descriptor in writable:
            writing[descriptor].write()
        for descriptor in readable:
            reading[descriptor].take()


def settle(readers, published, patience_s=20.0):
    """Reads until nothing is owed."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        waiting = [one for one in readers if not one.is_settled(published)]
        if not waiting:
            break
        for one in waiting:
            one.take()


def end_all(publishers, readers, patience_s=30.0):
    """Ends the publishers while the readers read on; returns how many messages were published."""
    for one in publishers:
        one.end()
    waiting = list(publishers)
    deadline = time.monotonic() + patience_s
    while waiting:
        assert time.monotonic() < deadline, f"the broker does not read {len(waiting)} publishers"
        overload(waiting, readers, 0.05)
        waiting = [one for one in waiting if not one.is_taken()]
    return sum(one.published for one in publishers)


def under_policy(scene, policy):
    """Four publishers that send what the broker takes, two readers and a slow one."""
    readers = []
    for pause_s in (0.0, 0.0, READ_PAUSE_S):
        readers.append(Reader(scene.blip(), pause_s))
        readers[-1].wire.subscribe(1, "load", overflow=policy)
    publishers = [Publisher(scene.blip()) for _ in range(PUBLISHERS)]
    seconds = scene.scaled(LOAD_S, 2.0)
    # One core with four publishers that never pause: a fair share of it is the witness's.
    with scene.attacked(at_least_s=seconds, share=0.5, silence_s=2.0):
        overload(publishers, readers, seconds)
    published = end_all(publishers, readers)
    scene.judge_recovery()
    settle(readers, published)
    slow = readers[-1]
    scene.note("published", published)
    scene.note("received_of_the_slow_one", slow.received)
    scene.note("reported_to_the_slow_one", slow.reported)
    if policy == "disconnect":
        scene.outcome.equal("error of the slow reader", slow.error, SLOW_SUBSCRIBER)
    elif policy != "block":
        scene.outcome.at_least("messages reported to the slow reader", slow.reported, 1)
    for number, reader in enumerate(readers, 1):
        what = f"received + reported of reader {number} ({reader.received:,} + {reader.reported:,})"
        if policy == "disconnect" and reader.error is not None:
            scene.outcome.equal(f"error of reader {number}", reader.error, SLOW_SUBSCRIBER)
        else:
            scene.outcome.equal(what, reader.received + reader.reported, published)


def register_policies():
    for policy in ("drop_oldest", "drop_new", "latest", "block", "disconnect"):

        def run(scene, policy=policy):
            under_policy(scene, policy)

        summary = f"4 publishers without pause, 3 readers with {policy}: all is accounted for"
        attack(f"O-{policy}", 6, summary, short=policy == "drop_oldest")(run)


register_policies()


@attack("O-one-of-48", 6, "one of 48 subscribers stands still", witness={"blip_count": 45, "nats_count": 2})
def one_of_many_stalls(scene):
    attacker, filler = scene.blip(receive_buffer_bytes=4_096), scene.blip()
    attacker.subscribe(1, "witness.*")
    attacker.subscribe(2, "fill")
    topic = filler.open(1, "fill")
    with scene.attacked(at_least_s=5.0, share=0.95):
        for _ in range(16):
            filler.send(blip.messages(topic, [bytes(1_024)] * 512))
    scene.judge_losses()


class Crowd:
    """Many subscribers of one topic, read by one loop."""

    def __init__(self, scene, count, pattern):
        self.poll = select.epoll()
        self.wires = [scene.blip(receive_buffer_bytes=4_096) for _ in range(count)]
        for wire in self.wires:
            wire.subscribe(1, pattern)
            wire.received = 0
            self.poll.register(wire.fileno(), select.EPOLLIN)
        self.by_fd = {wire.fileno(): wire for wire in self.wires}

    def stall(self, count):
        """The first ones are read no more; returns them."""
        for wire in self.wires[:count]:
            self.poll.unregister(wire.fileno())
        stalled, self.wires = self.wires[:count], self.wires[count:]
        return stalled

    def read(self, seconds):
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            for descriptor, _ in self.poll.poll(left, 1_000):
                wire = self.by_fd[descriptor]
                wire.receive(0)
                for kind, count, _ in wire.frames():
                    if kind == blip.MESSAGES:
                        wire.received += count


ROOM = {"server": {"max_connections": 12_000}}


@attack("O-500-of-10000", 6, "500 of 10,000 subscribers stand still", config=ROOM)
def many_of_many_stall(scene):
    count, stalled_count, rounds = scene.scaled((10_000, 500, 20), (1_000, 50, 5))
    crowd = Crowd(scene, count, "crowd.*")
    publisher = scene.blip()
    news, fill = publisher.open(1, "crowd.news"), publisher.open(2, "fill")
    stalled = crowd.stall(stalled_count)
    for wire in stalled:
        wire.subscribe(2, "fill")
    with scene.attacked(share=0.95, silence_s=1.0):
        # Half a megabyte for each: more than their sockets hold.
        publisher.send(blip.messages(fill, [bytes(1_024)] * 512))
        for _ in range(rounds):
            publisher.send(blip.messages(news, [struct.pack("<d", time.monotonic())]))
            crowd.read(0.5)
    crowd.read(1.0)
    short = sum(wire.received < rounds for wire in crowd.wires)
    scene.outcome.equal("subscribers that missed something", short, 0)
    scene.judge_losses()
