"""Section 2 of issue 12: `block` is a power over others, and so it is a right with duties."""

import time

import blip
from scene import attack

# More than the sockets hold, so that the queue of one message is soon full.
FILL = [bytes(32)] * 8_192
QUICK = {"queues": {"block_timeout_ms": 1_000}}
WITNESS_LOGIN = ("witness", "of-the-attack")
USERS = {
    "auth.users": [
        {"user": "witness", "password": "of-the-attack"},
        {"user": "attacker", "password": "without-rights"},
    ]
}


def block_everything(scene, attacker, filler):
    """Subscribes to all topics with `block` and room for one message; returns the answer's kind."""
    topic = filler.open(1, "fill")
    attacker.send(blip.subscribe(1, ">", overflow="block", capacity=1))
    kind = attacker.expect(blip.SUBSCRIBED, blip.ERROR)[0]
    filler.socket.setblocking(False)
    try:
        for _ in range(64):
            filler.socket.send(blip.messages(topic, FILL))
    except OSError:
        # Held up, as all others now.
        scene.note("held", 1)
    return kind


@attack(
    "B-right",
    2,
    "a user without the right subscribes to > with block",
    config=USERS,
    witness={"login": WITNESS_LOGIN},
    short=True,
)
def block_without_right(scene):
    login = ("attacker", "without-rights")
    attacker, filler = scene.blip(login=login, receive_buffer_bytes=4_096), scene.blip(login=login)
    with scene.attacked():
        kind = block_everything(scene, attacker, filler)
    scene.outcome.equal("answer to SUBSCRIBE, 0x8E is ERROR", hex(kind), hex(blip.ERROR))


@attack("B-unread", 2, "block on > with capacity 1, nothing read; block_timeout 1 s", config=QUICK)
def block_and_read_nothing(scene):
    attacker, filler = scene.blip(receive_buffer_bytes=4_096), scene.blip()
    # On loopback without [auth] the right is there: all wait for the timeout, and no longer.
    with scene.attacked(at_least_s=10.0, share=0.8, silence_s=2.5):
        block_everything(scene, attacker, filler)
    scene.outcome.equal("the attacker is closed", attacker.is_closed_within(1.0), True)


@attack("B-trickle", 2, "the same, but 32 KiB/s are read", config=QUICK)
def block_and_read_little(scene):
    # Small enough that the window opens, and the broker sees progress, more than once a second.
    attacker, filler = scene.blip(receive_buffer_bytes=16 * 1024), scene.blip()
    connections = scene.broker.metric("blipmq_connections")
    closed_after_s = None
    with scene.attacked(at_least_s=15.0, share=0.7, silence_s=4.0):
        block_everything(scene, attacker, filler)
        start = time.monotonic()
        while closed_after_s is None and (now := time.monotonic() - start) < 15.0:
            attacker.socket.recv(8 * 1024)
            time.sleep(0.25)
            # What the sockets still hold is read for long after the broker has closed.
            if scene.broker.metric("blipmq_connections") < connections:
                closed_after_s = now
    scene.note("closed_after_s", closed_after_s)
    is_closed = closed_after_s is not None and closed_after_s <= 10.0
    scene.outcome.add("the attacker is closed after, s", closed_after_s, "at most 10", is_closed)


@attack("B-gone", 2, "480 publishers that a full block queue holds up go away", witness=None)
def held_publishers_leave(scene):
    attacker = scene.blip(receive_buffer_bytes=4_096)
    attacker.subscribe(1, "held", overflow="block", capacity=1)
    filler = scene.blip()
    topic = filler.open(1, "held")
    publishers = [scene.blip() for _ in range(480)]
    before = scene.broker.metric("blipmq_connections") - 480
    with scene.attacked(at_least_s=1.0):
        for each in publishers:
            each.socket.setblocking(False)
            try:
                for _ in range(4):
                    each.socket.send(blip.messages(topic, [bytes(64 * 1024)]))
            except OSError:
                pass
        time.sleep(0.5)
        for number, each in enumerate(publishers):
            each.reset() if number % 2 else each.close()
        left = wait_for_connections(scene, before, 3.0)
    scene.outcome.at_most("connections open 3 s later, beyond those that stay", left - before, 0)


def wait_for_connections(scene, wanted, patience_s):
    """Waits until the broker has no more connections than wanted; returns how many it has."""
    deadline = time.monotonic() + patience_s
    while (now := scene.broker.metric("blipmq_connections")) > wanted:
        if time.monotonic() > deadline:
            break
        time.sleep(0.1)
    return now
