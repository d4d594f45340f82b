"""TLS under attack: storms of handshakes, handshakes that stand still, records of one byte, and names.

The witness speaks plain text on a listener where TLS is optional: what others do in their handshakes is
not to delay it. Issue 13 gives the bounds.
"""

import functools
import select
import socket
import ssl
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import blip
import nats
from scene import attack

ROOT = Path(__file__).resolve().parents[2]
# A handshake of a storm may wait for thousands of others, on both sides.
STORM_PATIENCE_S = 120.0
# What one login may take, beside the time that a refusal is held back.
TRIES = 200
# Of the medians of two kinds of refused logins. The hash itself takes some 20 ms, and would show.
DIFFERENCE_MAX_S = 0.004
# Of the password `right`, by `blipmq hash-password`.
HASH = (
    "$argon2id$v=19$m=19456,t=2,p=1$eD1WWDASwA4eqA6AvCK6WA$reqAA/"
    "swyw1biUGc8V/QwFlfIze0miZf7UOTGWg2nDs"
)


@functools.cache
def certificates():
    """A folder of certificates, made once."""
    folder = tempfile.TemporaryDirectory(prefix="blipmq-hostile-certificates-")
    script = ROOT / "deploy/make-test-ca.sh"
    subprocess.run([script, "--out", folder.name], stdout=subprocess.DEVNULL, check=True)
    return folder


def secure(**more):
    folder = certificates().name
    files = {"cert_file": f"{folder}/server.pem", "key_file": f"{folder}/server.key"}
    return {"tls": files | {"blip": "optional", "nats": "optional"} | more}


def room():
    patience_ms = int(STORM_PATIENCE_S * 1_000)
    return secure(handshake_timeout_ms=min(patience_ms, 60_000)) | {"server": {"max_connections": 10_000}}


def terms():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class Arrival:
    """A client that connects, shakes hands, and says HELLO; `is_welcome` once that was answered."""

    def __init__(self, port, context):
        raw = socket.socket()
        raw.setblocking(False)
        raw.connect_ex(("127.0.0.1", port))
        self.socket = context.wrap_socket(raw, do_handshake_on_connect=False)
        self.step = self.shake
        self.is_welcome = False

    def shake(self):
        self.socket.do_handshake()
        self.socket.send(blip.hello())
        self.step = self.greet

    def greet(self):
        self.is_welcome = self.socket.recv(64)[4:5] == bytes([blip.WELCOME])
        return True

    def go_on(self):
        """What it waits for next; None once it is done."""
        try:
            while not self.step():
                pass
        except ssl.SSLWantReadError:
            return select.EPOLLIN
        except ssl.SSLWantWriteError:
            return select.EPOLLOUT
        except OSError:
            # Counts as not welcome.
            pass
        return None


def arrive_at_once(port, count):
    """Connects all; returns how many were welcome, and closes them."""
    context, poll = terms(), select.epoll()
    arrivals = {}
    for _ in range(count):
        arrival = Arrival(port, context)
        arrivals[arrival.socket.fileno()] = arrival
        poll.register(arrival.socket.fileno(), select.EPOLLOUT)
    waiting, deadline = len(arrivals), time.monotonic() + STORM_PATIENCE_S
    while waiting and (left := deadline - time.monotonic()) > 0:
        for descriptor, _ in poll.poll(left, 1_000):
            wanted = arrivals[descriptor].go_on()
            if wanted is None:
                poll.unregister(descriptor)
                waiting -= 1
            else:
                poll.modify(descriptor, wanted)
    for arrival in arrivals.values():
        arrival.socket.close()
    return sum(arrival.is_welcome for arrival in arrivals.values())


@attack("T-storm", 13, "5,000 TLS clients connect at once, twice", short=True, config=room)
def storm(scene):
    count, rounds = scene.scaled((5_000, 2), (300, 1))
    with scene.attacked():
        start = time.monotonic()
        welcome = [arrive_at_once(scene.broker.blip, count) for _ in range(rounds)]
        scene.note("handshakes_per_s", count * rounds / (time.monotonic() - start))
    scene.outcome.equal("clients that were welcome", sum(welcome), count * rounds)
    scene.judge_p99()
    scene.judge_losses()


@attack(
    "T-stalled",
    13,
    "500 clients stand still in their handshakes",
    config=lambda: secure(handshake_timeout_ms=1_000),
)
def stalled(scene):
    count = scene.scaled(500, 100)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    half = terms().wrap_bio(incoming, outgoing)
    try:
        half.do_handshake()
    except ssl.SSLWantReadError:
        hello = outgoing.read()
    before = scene.broker.metric("blipmq_connections")
    with scene.attacked():
        wires = [scene.silent() for _ in range(count)]
        for number, wire in enumerate(wires):
            wire.send(hello[: 1 + number % len(hello)])
        closed = sum(wire.is_closed_within(10.0) for wire in wires)
    scene.outcome.equal("handshakes that were ended in time", closed, count)
    scene.outcome.at_most("connections left", scene.broker.metric("blipmq_connections"), before + 1)
    scene.judge_losses()


@attack("T-records", 13, "one client sends its bytes in records of one byte each", config=secure)
def records_of_one_byte(scene):
    raw = socket.create_connection(("127.0.0.1", scene.broker.blip))
    secured = terms().wrap_socket(raw)
    secured.send(blip.hello())
    seconds = scene.scaled(5.0, 2.0)
    with scene.attacked(at_least_s=seconds):
        until, sent = time.monotonic() + seconds, 0
        while time.monotonic() < until:
            for byte in blip.ping():
                secured.send(bytes([byte]))
                sent += 1
            secured.setblocking(False)
            try:
                secured.recv(1 << 16)
            except ssl.SSLWantReadError:
                pass
            secured.setblocking(True)
    scene.note("records_a_second", sent / seconds)
    secured.close()
    scene.judge_losses()


def users():
    """Users with a hashed password, each for one try."""
    return {"auth.users": [{"user": f"u{number}", "password": HASH} for number in range(TRIES)]}


def refused_after(port, user):
    """How long a login with a wrong password takes to be refused."""
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.settimeout(30)
        client.recv(4_096)
        start = time.monotonic()
        client.sendall(nats.connect(user=user, **{"pass": "wrong"}) + b"PING\r\n")
        said = client.recv(4_096)
        assert b"Authorization Violation" in said, said
        return time.monotonic() - start


@attack("T-names", 13, "who asks whether a user exists, by the time of the answer", config=users, witness=None)
def names(scene):
    tries = scene.scaled(TRIES, 20)
    port = scene.broker.nats
    known, unknown = [], []
    with scene.attacked():
        # In turn, so that what the machine does besides is in both.
        for number in range(tries):
            known.append(refused_after(port, f"u{number}"))
            unknown.append(refused_after(port, f"nobody{number}"))
    medians = statistics.median(known), statistics.median(unknown)
    scene.note("known_median_s", medians[0])
    scene.note("unknown_median_s", medians[1])
    scene.note("tries_a_second", 2 * tries / (sum(known) + sum(unknown)))
    scene.outcome.at_most("difference of the medians, s", abs(medians[0] - medians[1]), DIFFERENCE_MAX_S)
