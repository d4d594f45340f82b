"""Section 6 of issue 12: connections, subscriptions and topics that come by the thousand.

The p99 of the witness, the flowing topic, is at most twice the quiet one, and no other has an error.
"""

import select
import socket
import time

import blip
from scene import attack

ROOM = {"server": {"max_connections": 10_000}}
TOPICS = {"limits": {"max_topics": 2_000_000}}


def connect_at_once(port, count, patience_s=20.0):
    """Connects all, says HELLO on each; returns how many were welcome, and closes them."""
    poll = select.epoll()
    sockets = {}
    for _ in range(count):
        one = socket.socket()
        one.setblocking(False)
        one.connect_ex(("127.0.0.1", port))
        sockets[one.fileno()] = one
        poll.register(one.fileno(), select.EPOLLOUT)
    welcome, waiting = 0, len(sockets)
    deadline = time.monotonic() + patience_s
    while waiting and (left := deadline - time.monotonic()) > 0:
        for descriptor, event in poll.poll(left, 1_000):
            try:
                if event & select.EPOLLOUT:
                    sockets[descriptor].send(blip.hello())
                    poll.modify(descriptor, select.EPOLLIN)
                    continue
                welcome += sockets[descriptor].recv(64)[4:5] == bytes([blip.WELCOME])
            except OSError:
                # Counts as not welcome.
                pass
            poll.unregister(descriptor)
            waiting -= 1
    for one in sockets.values():
        one.close()
    return welcome


@attack("C-connections", 6, "5,000 connections at once, 10 times", config=ROOM)
def connections_at_once(scene):
    count, rounds = scene.scaled((5_000, 10), (500, 2))
    with scene.attacked():
        welcome = [connect_at_once(scene.broker.blip, count) for _ in range(rounds)]
    scene.outcome.equal("connections that were welcome", sum(welcome), count * rounds)
    scene.judge_p99()
    scene.judge_losses()


@attack("C-subscriptions", 6, "50,000 SUB or UNSUB a second by one client")
def subscribe_and_unsubscribe(scene):
    attacker = scene.nats()
    batch = b"".join(b"SUB c.%d %d\r\nUNSUB %d\r\n" % (i, i, i) for i in range(1, 251))
    seconds = scene.scaled(5.0, 2.0)
    with scene.attacked(at_least_s=seconds):
        start, sent = time.monotonic(), 0
        while (now := time.monotonic() - start) < seconds:
            if sent < now * 50_000:
                attacker.send(batch)
                sent += 500
            else:
                time.sleep(0.002)
    scene.note("a_second", sent / seconds)
    scene.judge_p99()
    scene.judge_losses()


@attack("C-topics", 6, "10^6 topics, by 100 connections with 10,000 OPENs each", config=TOPICS)
def million_topics(scene):
    per_connection = scene.scaled(10_000, 1_000)
    openers = [scene.blip() for _ in range(100)]
    with scene.attacked():
        for number, opener in enumerate(openers):
            names = (f"c{number}.t{i}" for i in range(per_connection))
            opener.send(b"".join(blip.open_topic(i, name) for i, name in enumerate(names, 1)))
            opener.discard()
        for opener in openers:
            opener.ping()
    scene.note("topics", scene.broker.metric("blipmq_topics"))
    scene.judge_p99()
    scene.judge_losses()
