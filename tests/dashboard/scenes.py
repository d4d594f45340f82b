"""Scenes for the fake broker: busy, empty, with many cores, with hostile names.

Used by `against_fake.py`, `states.py` and `fake.py`. Random numbers are seeded, so that a scene is the same
every time.
"""

import math
import random

from fake import Scene

HOSTILE = [
    "<img src=x onerror=\"document.title='owned'\">",
    "<script>document.title='owned'</script>",
    "orders.'\"&amp;<b>bold</b>",
    "a\u202eevil\u202c.topic",
    "tab\tand\nnew line",
    "emoji.🔥.日本語",
    "javascript:alert(1)",
    "long." + "x" * 300,
]
SUBJECTS = "orders.eu orders.us prices.fx.eurusd prices.equities.xetra telemetry.sensors game.moves"


def connection(number, core, **values):
    return {
        "connection": f"{core}-{number}-3",
        "core": core,
        "address": f"10.20.{number % 8}.{number}:{50000 + number}",
        "protocol": "blip",
        "nats_client_id": None,
        "state": "open",
        "paused": None,
        "age_seconds": 100.0 + number,
        "subscriptions": 1,
        "queued_messages": 0,
        "queued_bytes": 0,
        "lag_seconds": 0.0,
        "published_messages": 0,
        "published_bytes": 0,
        "delivered_messages": 0,
        "delivered_bytes": 0,
        "dropped_messages": 0,
    } | values


def subscription(number, core, pattern, **values):
    dropped = values.pop("dropped", {})
    return {
        "connection": f"{core}-{number}-3",
        "core": core,
        "address": f"10.20.{number % 8}.{number}:{50000 + number}",
        "protocol": "blip",
        "subscription": str(number),
        "pattern": pattern,
        "group": None,
        "overflow": "drop_oldest",
        "state": "in_force",
        "queued_messages": 0,
        "messages_max": 2048,
        "queued_bytes": 0,
        "bytes_max": 64 * 2**20,
        "lag_seconds": 0.0,
        "delivered_messages": 0,
        "dropped_messages": sum(dropped.values()),
        "dropped": {"overflow_oldest": 0, "overflow_new": 0, "connection_full": 0, "reclaimed": 0, "conflated": 0, "expired": 0} | dropped,
        "holds_up_topics": 0,
    } | values


def topic(name, core, **values):
    return {
        "topic": name,
        "core": core,
        "rate_per_second": 0.0,
        "published_messages": 0,
        "published_bytes": 0,
        "kept_messages": 0,
        "kept_bytes": 0,
        "blocked": False,
        "idle_seconds": 0.1,
    } | values


def traffic(chance, core, share, seconds):
    """Counts the work of a core in `seconds` with `share` of the load."""
    published = int(12_000 * share * seconds * chance.uniform(0.9, 1.1))
    delivered = published * 8
    sends = max(1, delivered // 24)
    enters = max(1, sends // 5)
    lost = int(delivered * 0.004 * chance.random()) if share > 0.4 else 0
    core.count(
        published_messages=published,
        published_bytes=published * 180,
        enqueued_messages=delivered + lost,
        delivered_messages=delivered,
        dropped_oldest_messages=lost,
        conflated_messages=lost // 5,
        expired_in_queue_messages=lost // 9,
        queue_overflows=lost // 50,
        flushes=sends,
        flushed_bytes=delivered * 164,
        mesh_letters_sent=published // 40,
        turns=enters,
        enters=enters,
    )
    core.asleep_seconds += seconds * max(0.05, 1 - share * chance.uniform(0.75, 0.95))
    core.send_messages["counts"][5] += sends
    core.send_messages["sum"] += delivered
    core.send_bytes["counts"][6] += sends
    core.send_bytes["sum"] += delivered * 164
    core.enter_sends["counts"][3] += enters
    core.enter_sends["sum"] += sends
    slow = 1 + 3 * share
    for part, seconds_ in ((0.5, 28e-6), (0.4, 61e-6), (0.09, 190e-6), (0.0095, 800e-6)):
        core.latency(seconds_ * slow * chance.uniform(0.8, 1.3), int(delivered * part))
    core.latency(4e-3 * slow * chance.uniform(0.6, 2), max(1, int(delivered * 0.0005)))


def steps_of(seed):
    chance = random.Random(seed)

    def step(scene):
        wave = 0.65 + 0.2 * math.sin(scene.now / 40) + 0.1 * math.sin(scene.now / 7)
        for core in scene.cores:
            share = wave * (0.35 + 0.65 * ((core.number * 37) % 11) / 10)
            traffic(chance, core, min(1, share), scene.step_seconds)

    return step


def add_clients(scene, chance):
    """37 connections with a subscription each, of which nine are slow."""
    policies = ["drop_oldest", "drop_new", "latest", "block", "disconnect"]
    reasons = ["overflow_oldest", "overflow_new", "conflated", "expired", "expired"]
    patterns = ["orders.>", "prices.*.eurusd", "telemetry.sensors.*.temperature", "game.moves.>"]
    for number in range(37):
        kind = number % 5
        slow = number < 9
        fill = (0.98, 1.0, 0.8, 0.97, 0.4, 0.78, 0.2, 0.1, 0.05)[number] if slow else 0.002
        lost = {reasons[kind]: int(90_000 / (number + 1) ** 2)} if slow and kind != 3 else {}
        if slow and kind == 0:
            lost["expired"] = 421
        row = subscription(
            number,
            number % len(scene.cores),
            patterns[number % 4],
            group="workers" if number % 6 == 1 else None,
            overflow=policies[kind],
            queued_messages=int(2048 * fill),
            queued_bytes=int(64 * 2**20 * fill * 0.6),
            lag_seconds=round(fill * 12, 3) if slow else 0.00002 * number,
            delivered_messages=chance.randrange(10_000, 4_000_000),
            dropped=lost,
            holds_up_topics=3 if slow and kind == 3 else 0,
            protocol="nats" if number % 3 == 2 else "blip",
        )
        scene.rows["subscriptions"].append(row)
        scene.rows["connections"].append(
            connection(
                number,
                number % len(scene.cores),
                protocol=row["protocol"],
                nats_client_id=number if row["protocol"] == "nats" else None,
                paused="blocked" if number == 5 else None,
                subscriptions=1 + number % 4,
                queued_messages=row["queued_messages"],
                queued_bytes=row["queued_bytes"],
                lag_seconds=row["lag_seconds"],
                published_messages=chance.randrange(0, 900_000) if number % 4 == 0 else 0,
                delivered_messages=row["delivered_messages"],
                dropped_messages=row["dropped_messages"],
                age_seconds=float(chance.randrange(20, 90_000)),
            )
        )


def add_topics(scene):
    """72 topics, the first ones busier than the others."""
    subjects = SUBJECTS.split()
    for number in range(72):
        rate = 9_400 / (number + 1) ** 1.3
        published = int(rate * 3600)
        name = f"{subjects[number % 6]}.{number}" if number >= 6 else subjects[number]
        retained = min(10_000, published)
        scene.rows["topics"].append(
            topic(
                name,
                number % len(scene.cores),
                rate_per_second=rate,
                published_messages=published,
                published_bytes=published * 180,
                kept_messages=retained,
                kept_bytes=retained * 180,
                blocked=number == 3,
                idle_seconds=1 / rate,
            )
        )


def busy(cores=4, step_seconds=1.0):
    scene = Scene(cores, step_seconds)
    for core in scene.cores:
        core.gauges.update(connections=12, nats_connections=4, subscriptions=24, topics=18)
        core.gauges.update(receive_buffers_free=240, blocked_topics=int(core.number == 1))
    scene.used = {"connections": 48, "memory": 1_674_000_000, "topics": 72, "open_files": 960_000}
    add_clients(scene, random.Random(6))
    add_topics(scene)
    scene.last_reload = {
        "number": 2,
        "unix_seconds": scene.now - 4,
        "outcome": "applied",
        "applied": ["queues.overflow_policy", "delivery.default_ttl_ms"],
        "needs_restart": ["server.bind_addr"],
        "errors": [],
    }
    scene.on_step = steps_of(4)
    return scene


def asleep(scene):
    for core in scene.cores:
        core.asleep_seconds += scene.step_seconds * 0.999


def empty():
    """A broker that has just started: no connections, no messages."""
    scene = Scene(2)
    scene.used = {"connections": 0, "memory": 0, "topics": 0, "open_files": 28}
    scene.on_step = asleep
    return scene


def many_cores(cores=256):
    """Many cores, of which two do not answer."""
    scene = Scene(cores, 5.0)
    for core in scene.cores:
        core.gauges.update(connections=40, subscriptions=80, topics=300)
    scene.unanswered_cores = [17, cores - 56]
    for number in scene.unanswered_cores:
        scene.cores[number].answered = False
    scene.on_step = steps_of(9)
    return scene


def hostile():
    """Hostile names of clients."""
    scene = Scene(2)
    scene.on_step = asleep
    for number, name in enumerate(HOSTILE):
        scene.rows["topics"].append(topic(name, 0, rate_per_second=100.0 - number))
        scene.rows["subscriptions"].append(
            subscription(
                number, 0, name, group=name, dropped={"expired": 100 - number}, queued_messages=5
            )
        )
        scene.rows["connections"].append(connection(number, 0, queued_bytes=100 - number))
    # Fields that the API does not know are null.
    none = dict.fromkeys(("connection", "address", "protocol"))
    row = subscription(99, 1, "jobs.>", **none) | {"subscription": "", "group": "workers"}
    scene.rows["subscriptions"].append(row)
    scene.rows["topics"].append(topic("never.published", 1, idle_seconds=None))
    return scene


ALL = {"busy": busy, "empty": empty, "many_cores": many_cores, "hostile": hostile}
