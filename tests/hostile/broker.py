"""The broker under attack: started on free ports, observed in /proc, stopped by its own handle."""

import os
import re
import signal
import subprocess
import tempfile
import threading
import urllib.request
from pathlib import Path

PATIENCE_S = 60
READY = re.compile(
    r"is ready on [\d.]+:(?P<blip>\d+), NATS on [\d.]+:(?P<nats>\d+),"
    r".*metrics on http://[\d.]+:(?P<metrics>\d+)"
)
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
MIB = 1024 * 1024
BASE = {
    "server": {"bind_addr": "127.0.0.1:0"},
    "nats": {"bind_addr": "127.0.0.1:0"},
    "metrics": {"bind_addr": "127.0.0.1:0"},
}


def toml(tables):
    """The text of a configuration: tables of plain values, and lists of tables."""

    def value(what):
        if isinstance(what, bool):
            return str(what).lower()
        if isinstance(what, list):
            return f"[{', '.join(map(value, what))}]"
        return str(what) if isinstance(what, int) else f'"{what}"'

    lines = []
    for name, content in tables.items():
        is_list = isinstance(content, list)
        for table in content if is_list else [content]:
            lines.append(f"[[{name}]]" if is_list else f"[{name}]")
            lines += [f"{key} = {value(what)}" for key, what in table.items()]
    return "\n".join(lines) + "\n"


def first_cores(count):
    """The first CPUs of those that this process may use, as the broker's `--cores` takes them."""
    return sorted(os.sched_getaffinity(0))[:count]


class Broker:
    """`config` is tables of keys that differ from the defaults; `cores` is how many it runs on."""

    def __init__(self, binary, config=None, cores=1):
        self.binary = binary
        self.folder = tempfile.TemporaryDirectory(prefix="blipmq-hostile-")
        path = Path(self.folder.name) / "blipmq.toml"
        config = config or {}
        bound = {name: table | config.get(name, {}) for name, table in BASE.items()}
        path.write_text(toml(config | bound))
        self.errors = (Path(self.folder.name) / "stderr").open("w+")
        chosen = ",".join(map(str, first_cores(cores)))
        self.process = subprocess.Popen(
            [binary, "--config", str(path), "--cores", chosen],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
        )
        try:
            self.find_ports()
        except BaseException:
            self.stop()
            raise

    def find_ports(self):
        # A broker that never becomes ready would be waited for, for ever.
        watchdog = threading.Timer(PATIENCE_S, self.process.kill)
        watchdog.start()
        try:
            found = READY.search(self.process.stdout.readline())
        finally:
            watchdog.cancel()
        if not found:
            raise AssertionError(f"the broker did not become ready; it said: {self.said()}")
        self.blip, self.nats = int(found["blip"]), int(found["nats"])
        self.admin = int(found["metrics"])

    def said(self):
        """The end of what the broker logged."""
        self.errors.flush()
        return Path(self.errors.name).read_text(errors="replace")[-2_000:]

    def is_running(self):
        return self.process.poll() is None

    def proc(self, name):
        return Path(f"/proc/{self.process.pid}/{name}")

    def memory_bytes(self, key):
        for line in self.proc("status").read_text().splitlines():
            if line.startswith(f"{key}:"):
                return int(line.split()[1]) * 1024
        raise AssertionError(f"/proc has no {key}")

    def rss_bytes(self):
        return self.memory_bytes("VmRSS")

    def rss_peak_bytes(self):
        """The highest since `forget_peak`."""
        return self.memory_bytes("VmHWM")

    def forget_peak(self):
        self.proc("clear_refs").write_text("5")

    def cpu_s(self):
        """User and system time since the start."""
        fields = self.proc("stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND

    def cpu_by_thread_s(self):
        """The time on a CPU of each thread, to the nanosecond."""
        tasks = self.proc("task")
        return {
            thread: int((tasks / thread / "schedstat").read_text().split()[0]) / 1e9
            for thread in os.listdir(tasks)
        }

    def descriptors(self):
        return len(os.listdir(self.proc("fd")))

    def get(self, path):
        url = f"http://127.0.0.1:{self.admin}{path}"
        with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
            return answer.read().decode()

    def metric(self, name, **labels):
        """The sum of all series of a family that have these labels."""
        total = 0.0
        for line in self.get("/metrics").splitlines():
            series, _, value = line.rpartition(" ")
            if series.partition("{")[0] != name:
                continue
            if all(f'{label}="{wanted}"' in series for label, wanted in labels.items()):
                total += float(value)
        return total

    def signal(self, which):
        self.process.send_signal(which)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        """Ends it at once; a stopped process as well."""
        if self.errors.closed:
            return
        if self.is_running():
            self.process.send_signal(signal.SIGCONT)
        self.kill()
        self.process.stdout.close()
        self.errors.close()
        self.folder.cleanup()
