"""Section 6 of issue 12: a broker that stops or dies, connections that break, and what remains of it all."""

import random
import signal
import time

import blip
import nats
from attacks_block import wait_for_connections
from broker import Broker
from scene import attack

IDLE_S = 10.0
IDLE_SHARE_MAX = 0.001


@attack("X-stop", 6, "the broker stands still for 30 s: SIGSTOP, SIGCONT")
def stopped_and_continued(scene):
    seconds = scene.scaled(30.0, 3.0)
    # That nothing is delivered and no probe answered meanwhile is what SIGSTOP is for.
    scene.witness.ask("begin")
    time.sleep(1.0)
    scene.last_quiet = scene.witness.ask("end")
    scene.broker.signal(signal.SIGSTOP)
    time.sleep(seconds)
    scene.broker.signal(signal.SIGCONT)
    scene.judge_recovery(after_s=3.0)
    closed = scene.witness.ask("end")["closed"]
    scene.outcome.equal("connections of the witness closed", closed, 0)
    scene.judge_losses()


@attack("X-kill", 6, "kill -9 under load, 5 times; 50 clients connect again", witness=None)
def killed_and_resumed(scene):
    binary = scene.broker.binary
    ports = {"server": scene.broker.blip, "nats": scene.broker.nats}
    config = {name: {"bind_addr": f"127.0.0.1:{port}"} for name, port in ports.items()}
    wires = []
    for life in range(scene.scaled(6, 2)):
        if life:
            scene.broker.stop()
            ends = [wire.is_closed_within(5.0) for wire in wires]
            scene.outcome.equal(f"clients that notice the end of life {life - 1}", sum(ends), len(wires))
            scene.leave()
            scene.broker = Broker(binary, config, scene.attack.cores)
        start = time.monotonic()
        wires = [scene.blip() for _ in range(50)]
        for wire in wires:
            wire.subscribe(1, "resumed.topic")
        publisher = scene.nats()
        # Far more than is read: the kill comes in the middle.
        publisher.send(nats.publish("resumed.topic", bytes(1_000)) * 2_000)
        for wire in wires:
            wire.expect(blip.MESSAGES)
        waited = time.monotonic() - start
        scene.note("resumed_s", waited, max)
        scene.outcome.at_most(f"seconds until life {life} delivers to all", waited, 5.0)


@attack("X-rst", 6, "10,000 connections that end with RST, before and after SUBSCRIBE")
def reset_storm(scene):
    before = scene.broker.rss_bytes()
    connections = scene.broker.metric("blipmq_connections")
    descriptors = scene.broker.descriptors()
    with scene.attacked():
        for number in range(scene.scaled(10_000, 1_000)):
            wire = scene.silent() if number % 2 else scene.blip()
            if number % 4 == 0:
                wire.send(blip.subscribe(1, ">") + blip.open_topic(1, "rst") + blip.ping())
            wire.reset()
            scene.wires.pop()
    left = wait_for_connections(scene, connections, 3.0)
    scene.outcome.at_most("connections 3 s later, beyond those before", left - connections, 0)
    scene.outcome.at_most("descriptors beyond those before", scene.broker.descriptors() - descriptors, 8)
    scene.judge_return(before)
    scene.judge_losses()


def random_sessions(scene, dice, count):
    """NATS clients that subscribe, publish, unsubscribe, read or do not, and leave in some way."""
    for _ in range(count):
        wires = [scene.nats() for _ in range(dice.randint(1, 12))]
        for _ in range(dice.randint(1, 60)):
            wire = dice.choice(wires)
            wire.send(random_commands(dice))
            if dice.random() < 0.5:
                wire.discard()
        for wire in wires:
            wire.reset() if dice.random() < 0.5 else wire.close()
        scene.wires.clear()


def random_commands(dice):
    """Between one and thirty commands."""
    commands = []
    for _ in range(dice.randint(1, 30)):
        subject, sid = f"r.{dice.randint(1, 6)}", dice.randint(1, 9)
        commands.append(
            dice.choice(
                [
                    f"SUB {subject} {sid}\r\n".encode(),
                    f"SUB r.* q{dice.randint(1, 2)} {sid}\r\n".encode(),
                    f"UNSUB {sid} {dice.randint(1, 5)}\r\n".encode(),
                    f"UNSUB {sid}\r\n".encode(),
                    nats.publish(subject, bytes(dice.randint(0, 2_000)), reply=dice.choice(["", "r.1"])),
                    b"PING\r\n",
                ]
            )
        )
    return b"".join(commands)


def everybody_at_once(scene, dice):
    """One cycle: a little of everything, then all leave."""
    halves = [scene.blip() for _ in range(5)]
    for wire in halves:
        wire.send(blip.open_topic(1, "half") + blip.messages(blip.PROVISIONAL | 1, [bytes(50_000)])[:40_000])
    unread = scene.blip(receive_buffer_bytes=4_096)
    unread.subscribe(1, "r.>", overflow=dice.choice(["drop_oldest", "drop_new", "latest"]), capacity=4)
    for _ in range(5):
        scene.silent()
    left, scene.wires = scene.wires, []
    random_sessions(scene, dice, 8)
    for wire in left:
        wire.reset() if dice.random() < 0.5 else wire.close()


FEW = {"queues": {"subscriber_capacity": 4, "topic_idle_timeout_ms": 2_000}, "nats": {"subscriber_capacity": 4}}


def after_all_of_it(scene):
    """100 cycles of a little of everything; then no connection is left, and nothing is to do."""
    everybody_at_once(scene, random.Random(11))
    wait_for_connections(scene, 0, 5.0)
    before, descriptors = scene.broker.rss_bytes(), scene.broker.descriptors()
    for number in range(scene.scaled(100, 10)):
        everybody_at_once(scene, random.Random(number))
    random_sessions(scene, random.Random(12), scene.scaled(200, 20))
    left = wait_for_connections(scene, 0, 5.0)
    scene.outcome.equal("connections 5 s after all have left", left, 0)
    # Neither the prober nor a page: what the broker does now, it does of itself.
    scene.stop_watching()
    time.sleep(3.0)
    seconds = scene.scaled(IDLE_S, 3.0)
    cpu = scene.broker.cpu_by_thread_s()
    time.sleep(seconds)
    used = max(now - cpu.get(thread, 0.0) for thread, now in scene.broker.cpu_by_thread_s().items())
    scene.note("idle_share", used / seconds)
    scene.outcome.at_most("share of a core that the busiest thread uses", used / seconds, IDLE_SHARE_MAX)
    scene.outcome.at_most("descriptors beyond those before", scene.broker.descriptors() - descriptors, 4)
    scene.judge_return(before)


@attack("X-idle", 6, "100 cycles of a little of everything, then nothing", config=FEW, witness=None, short=True)
def idle_afterwards(scene):
    after_all_of_it(scene)


@attack("X-idle-two", 6, "the same on two cores", config=FEW, cores=2, witness=None)
def idle_afterwards_on_two_cores(scene):
    after_all_of_it(scene)
