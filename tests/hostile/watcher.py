"""A process of its own that measures while attacks keep this one busy, and its remote control.

Forked before any socket of an attack exists: a child that holds a copy of a socket would keep the
connection open.
"""

import multiprocessing
import os
import traceback

from broker import PATIENCE_S


class Watcher:
    """Runs `target(pipe, *arguments)`, which answers each command of `ask` with one value."""

    def __init__(self, target, *arguments, cpus=None):
        context = multiprocessing.get_context("fork")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(
            target=run, args=(target, theirs, cpus, arguments), daemon=True
        )
        self.process.start()
        theirs.close()
        self.expect("it is ready")

    def ask(self, *command):
        self.pipe.send(command)
        return self.expect(command)

    def expect(self, what):
        if not self.pipe.poll(PATIENCE_S):
            raise AssertionError(f"a watcher did not answer in {PATIENCE_S} s: {what}")
        kind, value = self.pipe.recv()
        if kind == "failed":
            raise AssertionError(f"a watcher failed:\n{value}")
        return value

    def stop(self):
        self.process.kill()
        self.process.join()
        self.pipe.close()


def run(target, pipe, cpus, arguments):
    if cpus:
        os.sched_setaffinity(0, cpus)
    try:
        target(pipe, *arguments)
    except BaseException:
        pipe.send(("failed", traceback.format_exc()))


def answer(pipe, value=None):
    pipe.send(("done", value))


def percentile(sorted_values, share):
    """The value below which a share of the values lie; 0 without values."""
    if not sorted_values:
        return 0.0
    return sorted_values[min(int(len(sorted_values) * share), len(sorted_values) - 1)]
