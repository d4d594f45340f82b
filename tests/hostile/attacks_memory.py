"""Section 2 of issue 12: memory is one budget, and who holds it pays.

Unless a function says otherwise: `limits.memory_max` is 64 MiB, RSS stays below it plus a quarter plus
what the broker had at its start, and is back within a minute after the attacker has left.
"""

import select
import time

import blip
import load
import nats
from broker import MIB
from scene import attack
from wire import Ended

BUDGET = 64 * MIB
TIGHT = {"limits": {"memory_max": BUDGET}}
SLACK = 1.25


def judge_memory(scene, budget=BUDGET):
    """Of the attack that was measured last."""
    bound = (budget * SLACK + scene.start_rss) / MIB
    scene.outcome.at_most("RSS peak, MiB", scene.outcome.figures["rss_peak_mib"], bound)


def judge_return(scene, before):
    scene.leave()
    scene.judge_return(before)


def hoard(scene, attacker, publisher):
    """F2: who holds the budget loses of it, and a bystander gets all of its 20 messages."""
    bystander = scene.nats()
    bystander.send(b"SUB ok 1\r\n")
    bystander.ping()
    before = scene.broker.rss_bytes()
    with scene.attacked():
        for _ in range(70):
            for subject in range(40):
                publisher.send(nats.publish(f"hoard.{subject}", bytes(32 * 1024)))
        publisher.ping()
        for _ in range(20):
            publisher.send(nats.publish("ok", b"x"))
        publisher.ping()
        bystander.read_messages(20, patience_s=5.0)
    scene.outcome.equal("messages to the bystander", bystander.received_messages, 20)
    scene.outcome.equal("errors to the publisher", publisher.errors[:1], [])
    dropped = scene.broker.metric("blipmq_dropped_messages_total")
    scene.outcome.at_least("messages dropped, as the metrics say", dropped, 1)
    judge_memory(scene)
    judge_return(scene, before)


HOARD = {"limits": {"memory_max": BUDGET}, "queues": {"subscriber_bytes": 2 * MIB, "topic_bytes": 0}}


@attack("F2-nats", 2, "a NATS client lets 40 subjects of 70 messages of 32 KiB wait", config=HOARD, short=True)
def hoarding_nats(scene):
    attacker = scene.nats(receive_buffer_bytes=4_096)
    attacker.send(b"".join(b"SUB hoard.%d %d\r\n" % (i, i + 1) for i in range(40)))
    attacker.ping()
    hoard(scene, attacker, scene.nats())


@attack("F2-blip", 2, "the same by a BLIP/1 client", config=HOARD)
def hoarding_blip(scene):
    attacker = scene.blip(receive_buffer_bytes=4_096)
    for subject in range(40):
        attacker.subscribe(subject + 1, f"hoard.{subject}")
    hoard(scene, attacker, scene.nats())


def replay_unread(scene, count, budget):
    publisher = scene.blip()
    topic = publisher.open(1, "kept")
    # One at a time: neighbours of one turn would lie in one batch.
    for _ in range(10_000):
        publisher.send(blip.messages(topic, [b"message"]))
        publisher.ping()
    before = scene.broker.rss_bytes()
    attacker = scene.blip(receive_buffer_bytes=4_096)
    requests = [
        blip.subscribe(i, "kept", start=blip.SEQUENCE, argument=1) for i in range(1, count + 1)
    ]
    with scene.attacked(at_least_s=5.0):
        attacker.send(b"".join(requests))
    judge_memory(scene, budget)
    judge_return(scene, before)


@attack("M-replay", 2, "500 replays of 10,000 single messages, nothing read", config=TIGHT, short=True)
def replays_unread(scene):
    replay_unread(scene, 500, BUDGET)


@attack("M-replay-default", 2, "3,000 of them with the default budget")
def replays_unread_by_default(scene):
    replay_unread(scene, 3_000, 2_048 * MIB)


def subscribe_to(scene, attackers, requests):
    """Sends each attacker its requests; a broker that refuses may close the connection."""
    before = scene.broker.rss_bytes()
    with scene.attacked():
        for attacker in attackers:
            try:
                for start in range(0, len(requests), 500):
                    attacker.send(b"".join(requests[start : start + 500]))
                attacker.ping()
            except Ended as why:
                scene.note("closed", str(why))
    judge_memory(scene)
    judge_return(scene, before)


@attack("M-patterns-nats", 2, "1,000 patterns of 2,000 tokens", config=TIGHT)
def long_patterns_nats(scene):
    tail = ".*" * 1_999
    subscribe_to(scene, [scene.nats()], [f"SUB {i:04}{tail} {i}\r\n".encode() for i in range(1, 1_001)])


@attack("M-patterns-blip", 2, "3,000 patterns of 500 tokens", config=TIGHT)
def long_patterns_blip(scene):
    tail = ".*" * 499
    subscribe_to(scene, [scene.blip()], [blip.subscribe(i, f"{i:04}{tail}") for i in range(1, 3_001)])


@attack("M-subscriptions", 2, "500,000 short subscriptions on 5 connections", config=TIGHT)
def many_subscriptions(scene):
    requests = [b"SUB s%d %d\r\n" % (i, i) for i in range(1, 100_001)]
    subscribe_to(scene, [scene.nats() for _ in range(5)], requests)


def send_halves(wires, half, patience_s=3.0):
    """Sends the bytes on all connections, as far as they are taken; returns how many were."""
    left = {wire.fileno(): [wire, memoryview(half)] for wire in wires}
    for wire in wires:
        wire.socket.setblocking(False)
    deadline = time.monotonic() + patience_s
    while left and time.monotonic() < deadline:
        poll = select.poll()
        for descriptor in left:
            poll.register(descriptor, select.POLLOUT)
        for descriptor, _ in poll.poll(200):
            entry = left[descriptor]
            try:
                sent = entry[0].socket.send(entry[1])
            except OSError:
                del left[descriptor]
                continue
            deadline = time.monotonic() + patience_s
            entry[1] = entry[1][sent:]
            if not entry[1]:
                del left[descriptor]
    return len(wires) * len(half) - sum(len(rest) for _, rest in left.values())


def halves(scene, connect, half, count):
    before = scene.broker.rss_bytes()
    wires = [connect() for _ in range(count)]
    with scene.attacked(at_least_s=5.0):
        scene.note("sent_mib", send_halves(wires, half) / MIB)
    judge_memory(scene)
    judge_return(scene, before)


def half_nats(length):
    return b"PUB half %d\r\n" % MIB + bytes(length)


def half_blip(length):
    return blip.messages(blip.PROVISIONAL | 1, [bytes(MIB - 100)])[:length]


@attack("M-halves-nats", 2, "600 connections with an unfinished message of almost 1 MiB", config=TIGHT)
def halves_nats(scene):
    halves(scene, scene.nats, half_nats(MIB - 1_000), 600)


@attack("M-halves-blip", 2, "the same with BLIP/1", config=TIGHT)
def halves_blip(scene):
    opened = blip.open_topic(1, "half")
    halves(scene, scene.blip, opened + half_blip(MIB - 1_000), 600)


@attack("M-churn", 2, "4 NATS clients SUB and UNSUB for 25 s on two cores", config=TIGHT, cores=2)
def churn(scene):
    data = b"".join(b"SUB h%d.x %d\r\nUNSUB %d\r\n" % (i, i, i) for i in range(1, 101))
    seconds = scene.scaled(25.0, 5.0)
    before = scene.broker.rss_bytes()
    streams = [load.Stream(scene.nats, data) for _ in range(4)]
    with scene.attacked(at_least_s=seconds):
        load.run(streams, seconds)
    judge_memory(scene)
    judge_return(scene, before)


OPENS = TIGHT | {"queues": {"topic_idle_timeout_ms": 5_000}}


@attack("M-opens", 2, "10^6 OPENs by one connection; others open topics too", config=OPENS)
def million_opens(scene):
    before = scene.broker.rss_bytes()
    attacker, other = scene.blip(), scene.blip()
    with scene.attacked():
        try:
            for start in range(1, 1_001_001, 1_000):
                requests = [blip.open_topic(i, f"o{i}") for i in range(start, start + 1_000)]
                attacker.send(b"".join(requests))
                attacker.discard()
        except Ended as why:
            scene.note("closed", str(why))
        other.open(1, "other.topic")
    scene.note("topics", scene.broker.metric("blipmq_topics"))
    judge_memory(scene)
    judge_return(scene, before)
