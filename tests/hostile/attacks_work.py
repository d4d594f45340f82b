"""Section 1 of issue 12: work that one client can make as long as it likes.

Unless a function says otherwise: the witness keeps 90 % of its rate and is never without a delivery for
longer than 0.4 s; no probe of /healthz fails or takes longer than 1 s.
"""

import struct
import time

import blip
import load
import nats
from broker import MIB
from scene import attack

# CPU time of what is linear in 20,000 elements; quadratic it was 1.5 to 3 s.
LINEAR_CPU_MAX_S = 0.3
FLOOD_S = 5.0


@attack("F1a", 1, "20,000 times SUB and UNSUB after 1, then one PUB by another client", short=True)
def unsubscribe_after_one(scene):
    count = 20_000
    attacker, publisher = scene.nats(), scene.nats()
    attacker.send(b"".join(b"SUB a.b %d\r\nUNSUB %d 1\r\n" % (i, i) for i in range(1, count + 1)))
    attacker.ping()
    with scene.attacked():
        publisher.send(nats.publish("a.b", b"x"))
        attacker.read_messages(count)
    scene.outcome.equal("messages to the attacker", attacker.received_messages, count)
    judge_linear(scene)


def judge_linear(scene):
    """What the witness costs in quiet is taken off."""
    extra = scene.outcome.figures.get("extra_cpu_s", 0.0)
    scene.outcome.at_most("CPU seconds beyond the quiet ones", extra, LINEAR_CPU_MAX_S)


@attack("F1b", 1, "one message queued in each of 20,000 subjects of one connection, then UNSUB of all")
def drain_many_subscriptions(scene):
    count = 20_000
    attacker, publisher = scene.nats(receive_buffer_bytes=4_096), scene.nats()
    attacker.send(b"SUB fill 1\r\n")
    attacker.send(b"".join(b"SUB d.%d %d\r\n" % (i, i) for i in range(2, count + 2)))
    attacker.ping()
    # Fills the sockets, so that what follows stays in queues of the broker.
    for _ in range(16):
        publisher.send(nats.publish("fill", b"f" * (MIB // 2)))
    publisher.send(b"".join(nats.publish(f"d.{i}", b"x") for i in range(2, count + 2)))
    publisher.ping()
    with scene.attacked():
        attacker.send(b"".join(b"UNSUB %d\r\n" % i for i in range(1, count + 2)))
        attacker.ping()
    scene.note("received", attacker.received_messages)
    judge_linear(scene)


@attack("F1c", 1, "5 connections with 100,000 SUBs each to one subject; one of them goes")
def one_of_five_large_ones_goes(scene):
    count = scene.scaled(100_000, 20_000)
    attackers = [scene.nats() for _ in range(5)]
    with scene.attacked(label="while they subscribe"):
        for attacker in attackers:
            attacker.send(b"".join(b"SUB cold.x %d\r\n" % i for i in range(1, count + 1)))
            attacker.ping()
    scene.note("refused", sum(len(attacker.errors) for attacker in attackers))
    with scene.attacked(at_least_s=5.0, label="when one goes"):
        attackers[0].close()
    with scene.attacked(at_least_s=5.0, label="when all go"):
        scene.leave()


def replay_of(scene, patterns):
    """100,000 topics, then SUBSCRIBE with start = last for each of the patterns, in one write."""
    for number in range(10):
        opener = scene.blip()
        names = [f"t{number}.n{i}" for i in range(10_000)]
        opener.send(b"".join(blip.open_topic(i + 1, name) for i, name in enumerate(names)))
        opener.ping()
    attacker = scene.blip()
    subscribes = [
        blip.subscribe(i + 1, pattern, start=blip.LAST, argument=1)
        for i, pattern in enumerate(patterns)
    ]
    with scene.attacked(at_least_s=5.0):
        start = time.monotonic()
        attacker.send(b"".join(subscribes))
        for _ in patterns:
            attacker.expect(blip.SUBSCRIBED, blip.ERROR)
        scene.note("answered_s", time.monotonic() - start)


@attack("F1d-literal", 1, "100,000 topics; 4,000 SUBSCRIBE from the last message of a literal name")
def replay_of_literal_names(scene):
    replay_of(scene, [f"t1.n{i}" for i in range(4_000)])


@attack("F1d-pattern", 1, "100,000 topics; 4,000 SUBSCRIBE from the last message of a pattern")
def replay_of_patterns(scene):
    replay_of(scene, [f"*.x{i}" for i in range(4_000)])


# What each makes the broker do: answer, nothing, search, change lists, parse JSON, refuse.
COMMANDS = {
    "ping": b"PING\r\n",
    "ok": b"+OK\r\n",
    "unsub": b"UNSUB 77\r\n",
    "sub-unsub": b"SUB e.f 5\r\nUNSUB 5\r\n",
    "connect": nats.connect(),
    "bad-pub": b"PUB a..b 1\r\nx\r\n",
}


def flood(scene, connect, data, count=1, is_reading=True):
    """`count` connections send the data as fast as the broker takes it."""
    seconds = scene.scaled(FLOOD_S, 2.0)
    streams = [load.Stream(connect, data, is_reading) for _ in range(count)]
    with scene.attacked(at_least_s=seconds):
        load.run(streams, seconds)
    load.totals(scene, streams, seconds)


def register_floods():
    for name, data in COMMANDS.items():

        def run(scene, data=data):
            flood(scene, scene.nats, data)

        shown = data.split(b"\r\n")[0].decode().split("{")[0].strip()
        summary = f"one NATS client streams {shown}" + (", then UNSUB 5" if name == "sub-unsub" else "")
        attack(f"F1e-{name}", 1, summary, short=name == "ping")(run)


register_floods()


@attack("F1e-unread", 1, "one NATS client streams PING and reads no answer")
def unread_pings(scene):
    flood(scene, scene.nats, COMMANDS["ping"], is_reading=False)


@attack("F1g-pong", 1, "one BLIP/1 client streams PONG", short=True)
def pongs(scene):
    flood(scene, scene.blip, blip.pong(1))


@attack("F1g-open", 1, "one BLIP/1 client streams OPENs that are refused")
def refused_opens(scene):
    flood(scene, scene.blip, blip.open_topic(1, "a..b"))


@attack("F1g-large", 1, "one BLIP/1 client publishes messages of 1 MiB as fast as they are taken")
def large_messages(scene):
    topic = scene.blip().open(1, "large")

    def connect():
        wire = scene.blip()
        wire.open(1, "large")
        return wire

    flood(scene, connect, blip.messages(topic, [bytes(MIB)]))


# 240,000 deliveries a second.
FANOUT = {"rate": 5_000, "blip_count": 48, "nats_count": 0}


def churn_beside_fanout(scene):
    data = b"".join(b"SUB h.%d %d\r\nUNSUB %d\r\n" % (i, i, i) for i in range(1, 101))
    flood(scene, scene.nats, data, count=4)


@attack("F1h", 1, "4 NATS clients SUB and UNSUB beside 48 subscribers at 5,000/s", witness=FANOUT)
def churn_on_one_core(scene):
    churn_beside_fanout(scene)


@attack("F1h-two", 1, "the same on two cores", cores=2, witness=FANOUT)
def churn_on_two_cores(scene):
    churn_beside_fanout(scene)


class Replayer:
    """Subscribes from sequence 1, reads all, unsubscribes, and again."""

    def __init__(self, wire, topic, until):
        self.wire, self.topic, self.until = wire, topic, until
        self.number, self.rounds = 0, 0
        self.next_round()

    def next_round(self):
        self.wire.send(blip.unsubscribe(self.number) if self.number else b"")
        self.number += 1
        self.wire.send(blip.subscribe(self.number, self.topic, start=blip.SEQUENCE, argument=1))
        self.rounds += 1

    def take(self):
        self.wire.receive(0)
        for kind, count, body in self.wire.frames():
            if kind != blip.MESSAGES:
                continue
            subscription, first = struct.unpack_from("<IQ", body, 4)
            if subscription == self.number and first + count > self.until:
                self.next_round()


@attack("F1i", 1, "8 well-behaved readers replay a topic of 16 MiB, again and again")
def replays(scene):
    publisher = scene.blip()
    topic = publisher.open(1, "replayed")
    size, count = 4_096, 4_000
    for _ in range(count // 50):
        publisher.send(blip.messages(topic, [bytes(size)] * 50))
        publisher.ping()
    seconds = FLOOD_S
    with scene.attacked(at_least_s=seconds):
        readers = [Replayer(scene.blip(), "replayed", count) for _ in range(8)]
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for reader in readers:
                reader.take()
    received = sum(reader.wire.received_bytes for reader in readers)
    scene.note("replayed_mb_s", received / seconds / 1e6)
    # A share is left for replay: far less than what a core can, far more than none.
    scene.outcome.at_least("MB/s replayed", received / seconds / 1e6, 1.0)


@attack("F1f", 1, "one NATS connection with 1,000 SUB > that reads nothing, default settings")
def thousand_wildcards(scene):
    attacker = scene.nats(receive_buffer_bytes=4_096)
    attacker.send(b"".join(b"SUB > %d\r\n" % i for i in range(1, 1_001)))
    seconds = scene.scaled(30.0, 5.0)
    with scene.attacked(at_least_s=seconds):
        pass
    # One connection's bound, 64 MiB, with a quarter more, and what the broker has anyway.
    bound = 80 + scene.start_rss / MIB + 64
    scene.outcome.at_most("RSS peak, MiB", scene.outcome.figures["rss_peak_mib"], bound)
