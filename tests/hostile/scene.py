"""The scene of an attack: a broker, a witness and a prober, and the verdict on what they saw.

An attack is a function with `@attack`. It prepares what it needs, and does the harm within
`with scene.attacked():`, before which the witness is measured in quiet and in which it is measured
again. Every bound of its verdict stands at the function.
"""

import contextlib
import os
import time
from dataclasses import dataclass, field

import blip
import nats
import prober
import witness
from broker import MIB, Broker, first_cores
from wire import Ended, Wire

# How long the witness is measured before and at least during an attack.
QUIET_S = 2.0
ATTACK_S = 3.0
# The witness keeps this share of its quiet rate.
SHARE_MIN = 0.90
# The longest time without a delivery, and the longest probe. A turn works at most a millisecond for one
# connection, and a probe takes at most 0.1 s on a quiet machine; a shared one has pauses of its own.
SILENCE_MAX_S = 0.4
PROBE_MAX_S = 1.0
P99_NOISE_S = 0.1
# What RSS may have more than before once the attacker has left: the allocator's and the kernel's.
LEFT_MAX_BYTES = 16 * MIB
# What nobody needs any more goes back to the operating system within a minute.
RETURN_S = 60.0
ALL_CPUS = os.sched_getaffinity(0)
ATTACKS = {}


@dataclass
class Check:
    what: str
    value: object
    bound: str
    ok: bool

    def __str__(self):
        value = f"{self.value:.3g}" if isinstance(self.value, float) else self.value
        return f"{self.what}: {value}, must be {self.bound}"


@dataclass
class Attack:
    name: str
    section: int
    summary: str
    run: object
    is_short: bool
    config: dict
    cores: int
    # Of `witness.start`; None: no witness.
    witness: dict | None


@dataclass
class Outcome:
    """What came of one attack."""

    name: str
    figures: dict = field(default_factory=dict)
    checks: list = field(default_factory=list)

    def failed(self):
        return [check for check in self.checks if not check.ok]

    def add(self, what, value, bound, ok):
        self.checks.append(Check(what.strip(), value, bound, bool(ok)))

    def at_most(self, what, value, bound):
        self.add(what, value, f"at most {bound:.4g}", value <= bound)

    def at_least(self, what, value, bound):
        self.add(what, value, f"at least {bound:.4g}", value >= bound)

    def equal(self, what, value, bound):
        self.add(what, value, f"{bound}", value == bound)


def attack(name, section, summary, short=False, config=None, cores=1, witness=()):
    """Registers an attack; `short` ones are what CI runs."""

    def register(run):
        assert name not in ATTACKS, f"two attacks have the name {name}"
        options = dict(witness) if witness is not None else None
        ATTACKS[name] = Attack(name, section, summary, run, short, config or {}, cores, options)
        return run

    return register


def own_cpus(cores):
    """The CPUs of the load: those that the broker leaves, if it leaves any."""
    left = os.sched_getaffinity(0) - set(first_cores(cores))
    return left or os.sched_getaffinity(0)


class Scene:
    """What an attack works with: `broker`, clients of it, and `outcome` for its verdict."""

    def __init__(self, chosen, binary, is_short=False):
        self.attack = chosen
        self.is_short = is_short
        self.outcome = Outcome(chosen.name)
        self.wires = []
        self.watchers = []
        config = chosen.config() if callable(chosen.config) else chosen.config
        self.broker = Broker(binary, config, chosen.cores)
        try:
            self.start_rss = self.broker.rss_bytes()
            self.cpus = own_cpus(chosen.cores)
            self.prober = self.watch(prober.start(self.broker.admin, self.cpus))
            self.witness = None
            if chosen.witness is not None:
                self.witness = self.watch(witness.start(self.broker, self.cpus, **chosen.witness))
        except BaseException:
            self.close()
            raise

    def watch(self, watcher):
        self.watchers.append(watcher)
        return watcher

    def blip(self, **options):
        return self.keep(blip.Blip(self.broker.blip, **options))

    def nats(self, **options):
        return self.keep(nats.Nats(self.broker.nats, **options))

    def silent(self, **options):
        """A connection that says nothing."""
        return self.keep(Wire(self.broker.blip, **options))

    def keep(self, wire):
        self.wires.append(wire)
        return wire

    def leave(self):
        """Closes all connections of the attack."""
        for wire in self.wires:
            wire.close()
        self.wires.clear()

    def scaled(self, full, short):
        return short if self.is_short else full

    @contextlib.contextmanager
    def attacked(self, at_least_s=None, label="", share=SHARE_MIN, silence_s=SILENCE_MAX_S):
        """Measures the witness in quiet, then while the body runs and at least for the time given."""
        at_least_s = self.scaled(ATTACK_S, 2.0) if at_least_s is None else at_least_s
        quiet_cpu_share, quiet = self.quiet()
        self.last_quiet = quiet
        self.prober.ask("begin")
        self.broker.forget_peak()
        cpu_s = self.broker.cpu_s()
        if self.witness:
            self.witness.ask("begin")
        start = time.monotonic()
        yield
        time.sleep(max(0.0, at_least_s - (time.monotonic() - start)))
        seconds = time.monotonic() - start
        assert self.broker.is_running(), f"the broker ended {label}"
        cpu_s = self.broker.cpu_s() - cpu_s
        self.note("cpu_s", cpu_s, max)
        self.note("cpu_share", cpu_s / seconds, max)
        self.note("extra_cpu_s", cpu_s - quiet_cpu_share * seconds, max)
        self.note("seconds", seconds, sum)
        self.judge_broker(label)
        if self.witness:
            self.judge_witness(label, quiet, self.witness.ask("end"), share, silence_s)

    def quiet(self):
        """The broker's use of CPU and the witness without an attack."""
        cpu_s, start = self.broker.cpu_s(), time.monotonic()
        if self.witness:
            self.witness.ask("begin")
        time.sleep(self.scaled(QUIET_S, 1.0))
        share = (self.broker.cpu_s() - cpu_s) / (time.monotonic() - start)
        return share, self.witness and self.witness.ask("end")

    def judge_broker(self, label):
        probes = self.prober.ask("end")
        peak = self.broker.rss_peak_bytes()
        self.note("rss_peak_mib", peak / MIB, max)
        self.note("healthz_median_s", probes["median_s"], max)
        self.note("healthz_worst_s", probes["worst_s"], max)
        self.outcome.at_most(f"longest probe {label}", probes["worst_s"], PROBE_MAX_S)
        self.outcome.equal(f"failed probes {label}", probes["failures"], 0)

    def judge_witness(self, label, quiet, during, share, silence_s):
        kept = during["rate"] / quiet["rate"] if quiet["rate"] else 0.0
        self.note("quiet_rate", quiet["rate"], min)
        self.note("rate", during["rate"], min)
        self.note("share", kept, min)
        self.note("quiet_silence_s", quiet["silence_s"], max)
        self.note("silence_s", during["silence_s"], max)
        self.note("quiet_p99_s", quiet["p99_s"], max)
        self.note("p99_s", during["p99_s"], max)
        self.note("worst_s", during["worst_s"], max)
        self.outcome.at_least(f"share of the witness's rate {label}", kept, share)
        self.outcome.at_most(f"longest silence {label}", during["silence_s"], silence_s)
        self.outcome.equal(f"connections of the witness closed {label}", during["closed"], 0)

    def judge_recovery(self, after_s=1.0):
        """A second after the end of an attack everything is as before."""
        time.sleep(after_s)
        self.witness.ask("begin")
        time.sleep(2.0)
        share = self.witness.ask("end")["rate"] / self.last_quiet["rate"]
        self.note("recovered_share", share)
        self.outcome.at_least("share of the rate 1 s after the end", share, SHARE_MIN)

    def judge_losses(self):
        """The witness lost nothing in its whole life. It publishes no more after that."""
        account = self.witness.ask("settle")
        self.outcome.equal("messages that the witness received", account["received"], account["owed"])

    def judge_p99(self):
        """At most twice the quiet one, or what a shared machine does of itself."""
        quiet, during = (self.outcome.figures[name] for name in ("quiet_p99_s", "p99_s"))
        self.outcome.at_most("p99 of the witness, s", during, max(2 * quiet, P99_NOISE_S))

    def note(self, name, value, of=None):
        """A figure; of several values the one that `of` chooses."""
        figures = self.outcome.figures
        if of and name in figures:
            value = of([figures[name], value])
        figures[name] = value

    def judge_return(self, before, what="RSS after the attacker left, MiB"):
        """The attacker has left: waits until the memory is back."""
        deadline = time.monotonic() + RETURN_S
        while (now := self.broker.rss_bytes()) > before + LEFT_MAX_BYTES:
            if time.monotonic() > deadline:
                break
            time.sleep(0.5)
        self.note("rss_left_mib", now / MIB)
        self.outcome.at_most(what, now / MIB, (before + LEFT_MAX_BYTES) / MIB)

    def stop_watching(self):
        for watcher in self.watchers:
            watcher.stop()
        self.watchers.clear()

    def close(self):
        self.leave()
        self.stop_watching()
        self.broker.stop()


def play(chosen, binary, is_short=False):
    """Runs one attack; an attack that breaks down is one that failed."""
    scene = Scene(chosen, binary, is_short)
    try:
        os.sched_setaffinity(0, scene.cpus)
        chosen.run(scene)
    except (AssertionError, OSError, EOFError, ValueError, Ended) as why:
        scene.outcome.add("the attack ran", f"{type(why).__name__}: {why}", "to its end", False)
    finally:
        if not scene.broker.is_running():
            said = " / ".join(scene.broker.said().splitlines()[-3:])
            scene.outcome.add("the broker", f"ended: {said}", "running", False)
        scene.close()
        # The broker of the next attack chooses its cores among all.
        os.sched_setaffinity(0, ALL_CPUS)
    return scene.outcome

