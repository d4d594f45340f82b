"""Section 6 of issue 12: clients that are slow on purpose.

The witness is unharmed, memory stays within the budget, and who is slow is closed in time.
"""

import time

import blip
import load
import nats
from attacks_memory import BUDGET, TIGHT, half_blip, half_nats, judge_memory, judge_return, send_halves
from broker import MIB
from scene import attack
from wire import Ended, Wire

LORIS = {
    "server": {"auth_timeout_ms": 2_000, "max_connections": 4_000},
    "nats": {"ping_interval_ms": 1_000, "pings_max": 2},
}
# The header timeout of the pages, or auth_timeout, or three pings; and a second for all of it.
LORIS_CLOSED_S = 6.0


def drip(wires, data, seconds):
    """Sends one byte a second on each; returns how many are still open at the end."""
    left = list(wires)
    for at in range(int(seconds)):
        start = time.monotonic()
        still = []
        for wire in left:
            try:
                wire.socket.send(data[at : at + 1])
                wire.discard()
            except (Ended, OSError):
                continue
            still.append(wire)
        left = still
        time.sleep(max(0.0, 1.0 - (time.monotonic() - start)))
    return len(left)


def slowloris(scene, port, data, count):
    wires = [scene.keep(Wire(port)) for _ in range(count)]
    with scene.attacked():
        left = drip(wires, data, LORIS_CLOSED_S + 1)
    scene.outcome.equal("connections still open", left, 0)


@attack("S-loris-blip", 6, "500 clients send HELLO byte by byte", config=LORIS)
def slowloris_blip(scene):
    slowloris(scene, scene.broker.blip, blip.hello(), scene.scaled(500, 50))


@attack("S-loris-nats", 6, "500 clients send CONNECT byte by byte", config=LORIS)
def slowloris_nats(scene):
    slowloris(scene, scene.broker.nats, nats.connect(), scene.scaled(500, 50))


@attack("S-loris-pages", 6, "500 clients send a request byte by byte", config=LORIS, short=True)
def slowloris_pages(scene):
    slowloris(scene, scene.broker.admin, b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n", scene.scaled(500, 50))


@attack("S-halves", 6, "half messages of the maximum on 2,000 connections", config=TIGHT)
def many_halves(scene):
    before = scene.broker.rss_bytes()
    each = scene.scaled(1_000, 100)
    of_nats = [scene.nats() for _ in range(each)]
    of_blip = [scene.blip() for _ in range(each)]
    with scene.attacked(at_least_s=5.0):
        sent = send_halves(of_nats, half_nats(MIB // 2))
        sent += send_halves(of_blip, blip.open_topic(1, "half") + half_blip(MIB // 2))
        scene.note("sent_mib", sent / MIB)
    judge_memory(scene)
    judge_return(scene, before)


@attack("S-unread", 6, "400 clients stream PING and never read an answer", config=TIGHT)
def answers_never_read(scene):
    count, seconds = scene.scaled((200, 10.0), (20, 2.0))
    before = scene.broker.rss_bytes()

    def connect_nats():
        return scene.nats(receive_buffer_bytes=4_096)

    def connect_blip():
        return scene.blip(receive_buffer_bytes=4_096)

    streams = [load.Stream(connect_nats, b"PING\r\n", is_reading=False) for _ in range(count)]
    streams += [load.Stream(connect_blip, blip.ping(), is_reading=False) for _ in range(count)]
    with scene.attacked(at_least_s=seconds):
        load.run(streams, seconds)
    load.totals(scene, streams, seconds)
    judge_memory(scene)
    judge_return(scene, before)


@attack("S-windows", 6, "100 subscribers of the witness with the smallest windows, read a little", config=TIGHT)
def tiny_windows(scene):
    wires = [scene.blip(receive_buffer_bytes=1) for _ in range(scene.scaled(100, 20))]
    for wire in wires:
        wire.subscribe(1, "witness.*")
    before = scene.broker.rss_bytes()
    with scene.attacked():
        deadline = time.monotonic() + 8.0
        while time.monotonic() < deadline:
            for wire in wires:
                try:
                    wire.socket.recv(100)
                except OSError:
                    # Cut as too slow, as it may be.
                    continue
            time.sleep(0.05)
    judge_memory(scene, BUDGET)
    judge_return(scene, before)
