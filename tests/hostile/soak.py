#!/usr/bin/env python3
"""Hours of load with churn and slow readers: does anything drift?

A broker carries a witness, a steady load, connections that come and go, and readers that are slow. Every
few seconds one line of a CSV says what the broker uses; at the end a plot, and a verdict: RSS,
descriptors and p99 of the last quarter are those of the second. Exit status: 0 no drift, 1 drift.
"""

import argparse
import csv
import os
import random
import statistics
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import blip  # noqa: E402
import nats  # noqa: E402
import plot  # noqa: E402
import prober  # noqa: E402
import witness  # noqa: E402
from broker import MIB, Broker  # noqa: E402
from scene import own_cpus  # noqa: E402
from watcher import Watcher, answer  # noqa: E402
from wire import Ended  # noqa: E402

COLUMNS = ["seconds", "rss_mib", "descriptors", "cpu_share", "rate", "p99_ms", "worst_ms", "healthz_ms"]
COLUMNS += ["lost"]
LOAD_SUBSCRIBERS = 20
FRAME_MESSAGES = 20
PAYLOAD_BYTES = 2_048
# Less than `server.ping_interval_ms`.
HEARD_EVERY_S = 10.0
# What the last quarter may have more than the second.
RSS_DRIFT_MAX = 0.10
RSS_DRIFT_MIB = 16
DESCRIPTORS_DRIFT_MAX = 16
P99_DRIFT_MAX = 2.0
P99_NOISE_MS = 50.0


class Load:
    """Subscribers that read everything, publishers at a rate, churn, and readers that are slow."""

    def __init__(self, ports, rate):
        self.ports, self.rate = ports, rate
        self.dice = random.Random(7)
        self.readers = [self.subscribed("soak.>") for _ in range(LOAD_SUBSCRIBERS)]
        self.slow = [self.subscribed("soak.>", overflow) for overflow in ("drop_oldest", "drop_new", "latest")]
        self.publisher = blip.Blip(ports["blip"])
        self.topic = self.publisher.open(1, "soak.load")
        self.churned = []

    def subscribed(self, pattern, overflow="default"):
        wire = blip.Blip(self.ports["blip"])
        wire.subscribe(1, pattern, overflow=overflow)
        return wire

    def run(self, pipe):
        answer(pipe)
        start, sent = time.monotonic(), 0
        heard_at = start
        while True:
            due = int((time.monotonic() - start) * self.rate)
            while sent < due:
                self.publisher.send(blip.messages(self.topic, [bytes(PAYLOAD_BYTES)] * FRAME_MESSAGES))
                sent += FRAME_MESSAGES
            self.publisher.discard()
            for reader in self.readers:
                reader.discard()
            if self.dice.random() < 0.2:
                self.churn()
            self.read_slowly()
            if time.monotonic() - heard_at > HEARD_EVERY_S:
                heard_at = time.monotonic()
                self.be_heard()
            time.sleep(0.005)

    def churn(self):
        """A client of either protocol comes, does a little, and leaves later in one way or the other."""
        number = self.dice.randint(1, 10_000)
        if self.dice.random() < 0.5:
            wire = blip.Blip(self.ports["blip"])
            wire.send(blip.subscribe(1, f"churn.{number}.*") + blip.open_topic(1, f"churn.{number}.x"))
        else:
            wire = nats.Nats(self.ports["nats"])
            wire.send(f"SUB churn.{number}.> 1\r\n".encode() + nats.publish(f"churn.{number}.y", b"x" * 500))
        self.churned.append(wire)
        while len(self.churned) > 50:
            left = self.churned.pop(self.dice.randrange(len(self.churned)))
            left.reset() if self.dice.random() < 0.5 else left.close()

    def be_heard(self):
        """Readers look at nothing they get, so not at PINGs: they say unasked that they are there."""
        for wire in self.readers:
            wire.send(blip.pong())
        for number, wire in enumerate(self.slow):
            try:
                wire.send(blip.pong())
            except Ended:
                self.slow[number] = self.subscribed("soak.>")

    def read_slowly(self):
        """Some of what waits, now and then."""
        for number, wire in enumerate(self.slow):
            if self.dice.random() < 0.02:
                try:
                    wire.socket.recv(50_000)
                except (Ended, OSError):
                    self.slow[number] = self.subscribed("soak.>")


def serve(pipe, ports, rate):
    Load(ports, rate).run(pipe)


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--binary", default=str(HERE.parents[1] / "target/release/blipmq"))
    parser.add_argument("--minutes", type=float, default=120.0)
    parser.add_argument("--every", type=float, default=10.0, metavar="SECONDS", help="between two lines")
    parser.add_argument("--rate", type=int, default=40_000, help="messages a second, to 20 subscribers")
    parser.add_argument("--output", default="target/soak", metavar="FOLDER", help="soak.csv and soak.svg")
    return parser.parse_args()


def sample(broker, watchers, every, start):
    """One line, over the time `every`."""
    cpu_s, begun = broker.cpu_s(), time.monotonic()
    for name in ("witness", "prober"):
        watchers[name].ask("begin")
    time.sleep(every)
    seen, probes = watchers["witness"].ask("end"), watchers["prober"].ask("end")
    now = time.monotonic()
    return {
        "seconds": round(now - start, 1),
        "rss_mib": round(broker.rss_bytes() / MIB, 1),
        "descriptors": broker.descriptors(),
        "cpu_share": round((broker.cpu_s() - cpu_s) / (now - begun), 3),
        "rate": round(seen["rate"], 1),
        "p99_ms": round(seen["p99_s"] * 1e3, 2),
        "worst_ms": round(seen["worst_s"] * 1e3, 2),
        "healthz_ms": round(probes["worst_s"] * 1e3, 2),
        "lost": seen["reported"],
    }


def drifts(lines):
    """What the last quarter has more than the second, as sentences; the first one warms up."""
    quarter = len(lines) // 4
    if not quarter:
        return ["there are too few lines for a verdict"]

    def medians(name):
        parts = lines[quarter : 2 * quarter], lines[-quarter:]
        return [statistics.median(line[name] for line in part) for part in parts]

    found = []
    before, after = medians("rss_mib")
    if after > before * (1 + RSS_DRIFT_MAX) + RSS_DRIFT_MIB:
        found.append(f"RSS went from {before} to {after} MiB")
    before, after = medians("descriptors")
    if after > before + DESCRIPTORS_DRIFT_MAX:
        found.append(f"descriptors went from {before} to {after}")
    before, after = medians("p99_ms")
    if after > max(before * P99_DRIFT_MAX, P99_NOISE_MS):
        found.append(f"p99 went from {before} to {after} ms")
    if lost := sum(line["lost"] for line in lines):
        found.append(f"the witness lost {lost} messages")
    return found


def main():
    chosen = arguments()
    folder = Path(chosen.output)
    folder.mkdir(parents=True, exist_ok=True)
    broker = Broker(chosen.binary, {"queues": {"topic_idle_timeout_ms": 30_000}})
    watchers, lines = {}, []
    try:
        cpus = own_cpus(1)
        watchers["prober"] = prober.start(broker.admin, cpus)
        watchers["witness"] = witness.start(broker, cpus)
        ports = {"blip": broker.blip, "nats": broker.nats}
        watchers["load"] = Watcher(serve, ports, chosen.rate, cpus=cpus)
        start = time.monotonic()
        with (folder / "soak.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            while time.monotonic() - start < chosen.minutes * 60:
                lines.append(sample(broker, watchers, chosen.every, start))
                writer.writerow(lines[-1])
                file.flush()
                assert watchers["load"].process.is_alive(), "the load ended"
    finally:
        for watcher in watchers.values():
            watcher.stop()
        broker.stop()
    (folder / "soak.svg").write_text(plot.svg(lines, ["rss_mib", "descriptors", "cpu_share", "p99_ms"]))
    found = drifts(lines)
    cpu_share = statistics.median(line["cpu_share"] for line in lines)
    print(f"{len(lines)} lines in {folder}/soak.csv, plot in {folder}/soak.svg")
    print(f"the broker used {cpu_share:.0%} of its core; --rate changes that")
    print("\n".join(f"DRIFT: {each}" for each in found) or "no drift")
    return 1 if found else 0


if __name__ == "__main__":
    os.chdir(HERE.parents[1])
    sys.exit(main())
