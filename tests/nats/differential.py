#!/usr/bin/env python3
"""Plays the same sessions to nats-server and to blipmq, and compares the answers.

    tests/nats/differential.py --seed 7 --sessions 300
    tests/nats/differential.py --seed 7 --cores all          blipmq on all cores, which keep less order
    tests/nats/differential.py --seed 7 --tls                over TLS, behind INFO
    tests/nats/differential.py --seed 7 --only 41            one generated session again
    tests/nats/differential.py --only 'unsub of an unknown*'  one session of `corpus.py` again

The corpus comes first, then the sessions that `generate.py` makes from the seed. A session that differs
is shortened as long as it differs, and printed with both transcripts. Tolerated differences are in
`compare.TOLERATED`, deliberate ones in `compare.DELIBERATE`. NATS_SERVER and BLIPMQ are the paths of the binaries.
"""

import argparse
import fnmatch
import random
import ssl
import subprocess
import sys
import tempfile
import time
from collections import Counter

import compare
import corpus
import generate
import servers
import session as scripts

# How long to wait for a message from one server that the other has sent already.
LATE_PATIENCE_S = 1.0
SHRINK_S = 20.0


class Result:
    def __init__(self):
        self.differences, self.used, self.transcripts = [], set(), ([], [])


class Pair:
    """The two servers, started for each kind of authentication when it is first needed."""

    def __init__(self, left, right, cores, certificates=None):
        self.kinds, self.cores, self.certificates = (left, right), cores, certificates
        self.context = certificates and ssl.create_default_context(cafile=f"{certificates}/ca.pem")
        self.running = {}

    def ports(self, auth):
        if auth not in self.running:
            self.running[auth] = []
            for kind in self.kinds:
                self.running[auth].append(servers.start(kind, auth, self.cores, self.certificates))
        return [server.port for server in self.running[auth]]

    def ended(self):
        """A text with the last log lines of a server that has ended, if one has."""
        for pair in self.running.values():
            for server in pair:
                if server.has_ended():
                    return "\n".join([f"{server.kind} has ended; the end of its log:", *server.log_tail()])
        return None

    def stop(self):
        for pair in self.running.values():
            for server in pair:
                server.stop()

    def play(self, session):
        result = Result()
        sides = [scripts.Side(port, self.context) for port in self.ports(session.auth)]
        # The last step is for messages that came too late for the step before.
        for step in (*session.steps, scripts.Step("send")):
            for side in sides:
                side.begin(step)
            for side in sides:
                side.sync(step)
            wait_for_the_slower(sides)
            events = [side.events() for side in sides]
            for transcript, of_side in zip(result.transcripts, events):
                transcript.append((step, of_side))
            senders = {send.connection for send in step.sends}
            result.differences, used = compare.compare(senders, *events, cores=self.cores)
            result.used |= used
            if result.differences:
                break
        for side in sides:
            side.end()
        return result


def wait_for_the_slower(sides):
    deadline = time.monotonic() + LATE_PATIENCE_S
    while slower := compare.lag(*(side.events() for side in sides)):
        left = deadline - time.monotonic()
        if left <= 0 or not sides[slower == "right"].read_more(left):
            return


def shrunk(pair, session):
    """A shorter session that still differs, and its result. Drops steps first, then commands."""
    best, deadline = (session, pair.play(session)), time.monotonic() + SHRINK_S
    if not best[1].differences:
        # The session does not differ each time, so a shorter one that differs would be luck.
        return None
    progress = True
    while progress and time.monotonic() < deadline:
        progress = False
        for candidate in generate.shorter(best[0]):
            if time.monotonic() > deadline:
                break
            result = pair.play(candidate)
            if result.differences:
                best, progress = (candidate, result), True
                break
    return best


def report(pair, session, result, rerun):
    print(f"\nDIFFERENT: {session.name}  (auth: {session.auth})\n  again by itself: {rerun}")
    for difference in result.differences:
        print(f"  {difference[:400]}")
    smaller = shrunk(pair, session)
    if smaller is None:
        print("  it did not differ when played again")
    else:
        session, result = smaller
    print(f"the script:\n{session}")
    for kind, transcript in zip(pair.kinds, result.transcripts):
        print(f"what {kind} sent:")
        for number, (_, events) in enumerate(transcript):
            for connection, heard in sorted(events.items()):
                for event in heard:
                    print(f"{number:3}  c{connection} > {scripts.shown(event)[:300]}")
    for difference in result.differences:
        print(f"  {difference}")
    if gone := pair.ended():
        print(gone)
    sys.stdout.flush()


def chosen(options):
    """The sessions to play, each with the arguments that play it again."""
    only = options.only
    for session in () if options.no_corpus else corpus.SESSIONS:
        if only is None or fnmatch.fnmatch(session.name, only):
            yield session, f"--only '{session.name}'"
    numbers = range(options.sessions) if only is None else [int(only)] if only.isdigit() else []
    for number in numbers:
        yield generate.session(options.seed, number, options.cores), f"--seed {options.seed} --only {number}"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--left", choices=servers.KINDS, default="nats-server")
    parser.add_argument("--right", choices=servers.KINDS, default="blipmq")
    parser.add_argument("--cores", choices=servers.CORES, default="one", help="those blipmq runs on")
    parser.add_argument("--tls", action="store_true", help="over TLS, with certificates that are made for it")
    parser.add_argument("--seed", type=int, default=None, help="a fresh one unless given")
    parser.add_argument("--sessions", type=int, default=300, help="generated ones, beside the corpus")
    parser.add_argument("--no-corpus", action="store_true", help="generated sessions only")
    parser.add_argument("--only", help="the number of a generated session, or a name in the corpus (with *)")
    parser.add_argument("--show", action="store_true", help="print scripts and transcripts of equal sessions too")
    parser.add_argument("--failures", type=int, default=5, help="stop after so many sessions that differ")
    options = parser.parse_args()
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(1 << 32)
    return options


def main():
    options = arguments()
    over = ", over TLS" if options.tls else ""
    print(f"{options.left} and {options.right}, cores {options.cores}, seed {options.seed}{over}", flush=True)
    folder = tempfile.TemporaryDirectory(prefix="blipmq-certificates-") if options.tls else None
    if folder:
        script = servers.ROOT / "deploy/make-test-ca.sh"
        subprocess.run([script, "--out", folder.name], stdout=subprocess.DEVNULL, check=True)
    pair = Pair(options.left, options.right, options.cores, folder and folder.name)
    used, on_purpose, played, different = Counter(), Counter(), 0, 0
    begun = time.monotonic()
    try:
        for session, rerun in chosen(options):
            result = pair.play(session)
            played += 1
            used.update(result.used)
            if options.show and not result.differences:
                print(f"\n{session.name}\n{session}")
                for number, (_, events) in enumerate(result.transcripts[0]):
                    for connection, heard in sorted(events.items()):
                        print("\n".join(f"{number:3}  c{connection} > {scripts.shown(event)}" for event in heard))
            if entry := result.differences and compare.deliberate(session.name, result.differences, options.cores):
                on_purpose[entry] += 1
            elif result.differences:
                different += 1
                sides = f" --cores {options.cores} --left {options.left} --right {options.right}"
                sides += " --tls" if options.tls else ""
                report(pair, session, result, f"tests/nats/differential.py {rerun}{sides}")
                if different >= options.failures or pair.ended():
                    break
    finally:
        pair.stop()
    print(f"\n{played} sessions in {time.monotonic() - begun:.1f} s, {different} different")
    print("tolerated, and in how many sessions:")
    for name, reason in compare.TOLERATED.items():
        if name != "subjects" or options.cores != "one":
            print(f"  {name:30} {used[name] or 'UNUSED':>6}  {reason}")
    if not options.no_corpus:
        print("different on purpose, in how many sessions:")
        for name, known in compare.DELIBERATE.items():
            if options.cores in known.cores:
                print(f"  {name:30} {on_purpose[name] or 'UNUSED':>6}  {known.reason}")
    if played == 0:
        raise SystemExit(f"no session is called {options.only}")
    return 1 if different else 0


if __name__ == "__main__":
    raise SystemExit(main())
