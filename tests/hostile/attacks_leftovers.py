"""Section 3 of issue 12: what has to go away again, and what must not come in.

Unless a function says otherwise the bounds of the witness are those of `attacks_work.py`.
"""

import struct
import time

import blip
import nats
from broker import MIB
from scene import attack
from wire import PATIENCE_S, Ended

REQUESTS = 2_000


def topics_within(scene, wanted, patience_s):
    """Waits until the broker has at most that many topics; returns how many it has."""
    deadline = time.monotonic() + patience_s
    while (now := scene.broker.metric("blipmq_topics")) > wanted:
        if time.monotonic() > deadline:
            break
        time.sleep(0.2)
    return now


def request_and_reply(scene, replier, replies):
    """2,000 requests under a prefix that no client library has; `replies` answers what arrived."""
    requester = scene.nats()
    requester.send(b"SUB answers.to.me.* 1\r\n")
    requester.ping()
    before = scene.broker.metric("blipmq_topics")
    with scene.attacked():
        for first in range(0, REQUESTS, 20):
            batch = [
                nats.publish("prices.get", b"?", reply=f"answers.to.me.{first + i}") for i in range(20)
            ]
            requester.send(b"".join(batch))
            replies(replier, first + 20)
            if not requester.read_messages(first + 20, patience_s=5.0):
                break
    scene.outcome.equal("answers", requester.received_messages, REQUESTS)
    scene.outcome.equal("errors to the requester", requester.errors[:1], [])
    # The topic of the requests; a reply's subject is no topic.
    topics = scene.broker.metric("blipmq_topics") - before
    scene.outcome.at_most("topics after 2,000 replies, beyond those before", topics, 10)


def answer_nats(replier, count):
    """Answers the requests of a batch as a NATS client."""
    while replier.answered < count:
        replier.receive()
        while (end := replier.unparsed.find(b"\r\n?\r\n")) >= 0:
            subject = bytes(replier.unparsed[:end]).split(b" ")[3].decode()
            del replier.unparsed[: end + 5]
            replier.send(nats.publish(subject, b"42"))
            replier.answered += 1


def answer_blip(replier, count):
    """Answers the requests of a batch as a BLIP/1 client, which opens the topic of each answer."""
    while replier.answered < count:
        _, messages, body = replier.expect(blip.MESSAGES)
        at = blip.MESSAGES_HEAD.size
        for _ in range(messages):
            length = struct.unpack_from("<I", body, at)[0] & 0x7FFF_FFFF
            topic = reply_to(body[at + 4 : at + 4 + length])
            at += 4 + length
            replier.answered += 1
            request = replier.answered
            replier.send(
                blip.open_topic(request, topic) + blip.messages(blip.PROVISIONAL | request, [b"42"])
            )


def reply_to(record):
    """The topic to answer on, of a record with headers."""
    (length,) = struct.unpack_from("<H", record)
    headers, at = record[2 : 2 + length], 0
    while at < len(headers):
        name = headers[at + 1 : at + 1 + headers[at]]
        at += 1 + len(name)
        (size,) = struct.unpack_from("<H", headers, at)
        value = headers[at + 2 : at + 2 + size]
        at += 2 + size
        if name == b"reply-to":
            return value.decode()
    raise AssertionError(f"no reply-to in {record!r}")


FEW_TOPICS = {"limits": {"max_topics": 200}}


@attack("F3-nats", 3, "2,000 requests, answered by NATS; room for 200 topics", config=FEW_TOPICS, short=True)
def replies_of_nats(scene):
    replier = scene.nats()
    replier.answered = 0
    replier.send(b"SUB prices.get 1\r\n")
    replier.ping()
    request_and_reply(scene, replier, answer_nats)


@attack("F3-blip", 3, "the same, answered by BLIP/1", config=FEW_TOPICS)
def replies_of_blip(scene):
    replier = scene.blip()
    replier.answered = 0
    replier.subscribe(1, "prices.get")
    request_and_reply(scene, replier, answer_blip)


@attack("L-idle", 3, "1,000 topics each by BLIP/1 and NATS that nobody uses", config={"queues": {"topic_idle_timeout_ms": 1_000}})
def idle_topics(scene):
    before = scene.broker.metric("blipmq_topics")
    opener, publisher = scene.blip(), scene.nats()
    with scene.attacked():
        opener.send(b"".join(blip.open_topic(i, f"idle.blip.{i}") for i in range(1, 1_001)))
        opener.ping()
        publisher.send(b"".join(nats.publish(f"idle.nats.{i}", b"x") for i in range(1_000)))
        publisher.ping()
        scene.note("topics", scene.broker.metric("blipmq_topics"))
        scene.leave()
    left = topics_within(scene, before, 15.0)
    scene.outcome.at_most("topics 15 s later, beyond those before", left - before, 0)


@attack("L-groups", 3, "800 subscriptions with group names of 60,000 bytes")
def long_group_names(scene):
    attacker = scene.blip()
    with scene.attacked():
        for number in range(1, 801):
            attacker.send(blip.subscribe(number, "g.x", group=f"{number:05}" * 12_000))
        attacker.ping()
        page = scene.broker.get("/api/v1/subscriptions?limit=1000")
    scene.outcome.at_most("MiB of a page of the API", len(page) / MIB, 4.0)


def is_a_topic(topic):
    """Whether the contract of BLIP/1 allows the topic: PROTOCOL, section 3."""
    tokens = topic.split(b".")
    is_printable = all(byte > 0x20 and byte != 0x7F for byte in topic)
    return len(topic) <= 1_024 and is_printable and all(tokens) and not {b"*", b">"} & set(tokens)


@attack("L-subjects", 3, "NATS publishes subjects that are no topics of BLIP/1", short=True)
def subjects_against_the_contract(scene):
    reader, publisher = scene.blip(), scene.nats()
    reader.subscribe(1, "s.>")
    subjects = ["s.*", "s.>", "s.*.x", "s.a\x01b", "s.\x1b[31mred", "s.\x7f", "s." + "x" * 1_100, "s..x"]
    with scene.attacked():
        for subject in subjects:
            publisher.send(nats.publish(subject, b"x"))
        publisher.send(nats.publish("s.end", b"x"))
        publisher.ping()
        topics = []
        while not topics or topics[-1] != b"s.end":
            _, _, body = reader.expect(blip.TOPIC)
            topics.append(body[20:])
    wrong = [topic[:40] for topic in topics if not is_a_topic(topic)]
    scene.outcome.equal("topics against the contract", [str(topic) for topic in wrong], [])


SMALL = {"server": {"max_connections": 50}}


@attack("L-silent", 3, "60 silent sockets from one address where 50 connections are allowed", config=SMALL)
def silent_sockets(scene):
    silent = [scene.silent(address="127.0.0.2") for _ in range(60)]
    scene.note("silent", len(silent))
    with scene.attacked(at_least_s=1.0):
        waited = seconds_until_in(scene)
    scene.outcome.at_most("seconds until a client of another address is in", waited, 1.0)


def seconds_until_in(scene):
    """Connects again and again, until the broker welcomes the client."""
    start = time.monotonic()
    while (waited := time.monotonic() - start) < PATIENCE_S:
        try:
            scene.blip()
            break
        except (Ended, OSError):
            time.sleep(0.05)
    return waited
