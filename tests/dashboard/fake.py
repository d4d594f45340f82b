"""A scripted admin endpoint of a broker, for states that are hard to provoke in a real one.

The fake serves the dashboard with the headers of the real one, and answers of the test. Started by
`cases.py`; `python3 tests/dashboard/fake.py` serves a scene for a look at it.

Its time advances by `step_seconds` with each answer of /api/v1/cores and by nothing else, so that every
rate is known exactly.
"""

import argparse
import json
import math
import random
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

PAGE = Path(__file__).resolve().parents[2] / "src/server/admin/dashboard"
TYPES = {".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css"}
# Every file of the folder is served by its name, and index.html as `/`.
FILES = {f"/{file.name}": file for file in PAGE.iterdir() if file.suffix in TYPES}
FILES["/"] = FILES.pop("/index.html")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

BEGUN = 1_790_000_000.0
LATENCY_BOUNDS = [1e-6 * 2 ** (step / 4) for step in range(96)]
SEND_BOUNDS = [2**power for power in range(17)]
BYTES_BOUNDS = [2**power for power in range(6, 25)]
ENTER_BOUNDS = [2**power for power in range(11)]
COUNTERS = """published_messages published_bytes enqueued_messages delivered_messages
    dropped_oldest_messages dropped_new_messages dropped_connection_full_messages
    reclaimed_messages reclaimed_connections
    conflated_messages expired_before_enqueue_messages expired_in_queue_messages dropped_disconnected_messages refused_messages
    refused_for_memory_messages queue_overflows publishers_blocked evicted_portions flushes
    flushed_bytes errors_sent logins_refused no_responders connections_opened connections_closed
    mesh_letters_sent mesh_full turns enters receive_buffer_shortages""".split()
LISTS = {
    "connections": (
        "queued_bytes queued_messages lag dropped published delivered subscriptions input_deferred age".split()
    ),
    "subscriptions": "dropped lag queued_bytes queued_messages delivered".split(),
    "topics": "rate published kept_bytes name".split(),
}
# The field of a row for each sort key, if the names differ.
KEYS = {
    "lag": "lag_seconds",
    "dropped": "dropped_messages",
    "published": "published_messages",
    "delivered": "delivered_messages",
    "age": "age_seconds",
    "rate": "rate_per_second",
    "name": "topic",
}


def histogram(bounds, name="upper", total="sum"):
    return {name: bounds, "counts": [0] * (len(bounds) + 1), total: 0}


def observe(target, value, number, name="upper", total="sum"):
    """Counts `number` events of about `value`."""
    bounds = target[name]
    bucket = next((at for at, bound in enumerate(bounds) if value <= bound), len(bounds))
    target["counts"][bucket] += number
    target[total] += value * number


class Core:
    """The answer of one core, and the work that it counts."""

    def __init__(self, number, cpu):
        self.number = number
        self.cpu = cpu
        self.answered = True
        self.counters = dict.fromkeys(COUNTERS, 0)
        self.gauges = dict.fromkeys(
            "connections nats_connections subscriptions topics blocked_topics mesh_waiting_letters "
            "receive_buffers_free".split(),
            0,
        )
        self.asleep_seconds = 0.0
        self.accept_to_send = histogram(LATENCY_BOUNDS, "upper_seconds", "sum_seconds")
        self.send_messages = histogram(SEND_BOUNDS)
        self.send_bytes = histogram(BYTES_BOUNDS)
        self.enter_sends = histogram(ENTER_BOUNDS)

    def answer(self):
        return {"core": self.number, "cpu": self.cpu, "answered": self.answered} | {
            name: getattr(self, name)
            for name in """counters gauges asleep_seconds accept_to_send send_messages send_bytes
                enter_sends""".split()
        }

    def count(self, **numbers):
        for name, number in numbers.items():
            self.counters[name] += number

    def latency(self, seconds, number):
        observe(self.accept_to_send, seconds, number, "upper_seconds", "sum_seconds")


class Scene:
    """All answers of the fake broker. Tests change them; only `step` changes them by itself."""

    def __init__(self, cores=2, step_seconds=1.0):
        self.lock = threading.Lock()
        self.step_seconds = step_seconds
        self.now = BEGUN + 10
        self.server_id = "9F3A5C7712D0E84B"
        self.state = "ready"
        self.cores = [Core(number, number) for number in range(cores)]
        # Called with the scene at every step.
        self.on_step = lambda scene: None
        self.token = None
        # A status and a body that every path of the API answers instead, if set.
        self.failure = None
        self.last_reload = None
        self.used = {"connections": 3, "memory": 41_000_000, "topics": 3, "open_files": 40}
        self.rows = {name: [] for name in LISTS}
        self.unanswered_cores = []
        self.asked = []

    def step(self):
        self.now += self.step_seconds
        self.on_step(self)

    def restart(self):
        """Starts another process: every counter begins at zero."""
        self.server_id = "".join(random.choices("0123456789ABCDEF", k=16))
        self.cores = [Core(core.number, core.cpu) for core in self.cores]

    def limits(self):
        return [
            limit("connections", self.used["connections"], 10_000, "", "server.max_connections"),
            limit("memory", self.used["memory"], 2**31, "bytes", "limits.memory_max"),
            limit("topics", self.used["topics"], 1_000_000, "", "limits.max_topics"),
            limit("open_files", self.used["open_files"], 1_048_576, "", "ulimit -n"),
        ]

    def totals(self):
        return {name: sum(core.counters[name] for core in self.cores) for name in COUNTERS}

    def latency(self):
        counts = [sum(parts) for parts in zip(*(c.accept_to_send["counts"] for c in self.cores))]
        names = {"p50_seconds": 0.5, "p90_seconds": 0.9, "p99_seconds": 0.99, "p999_seconds": 0.999}
        return {name: percentile(counts, share) for name, share in names.items()}

    def status(self):
        return {
            "name": "blipmq",
            "version": "0.1.0",
            "server_id": self.server_id,
            "pid": 4711,
            "state": self.state,
            "now_unix_seconds": self.now,
            "started_unix_seconds": BEGUN,
            "uptime_seconds": self.now - BEGUN,
            "addresses": {
                "blip": "127.0.0.1:7878",
                "nats": "127.0.0.1:4222",
                "metrics": "127.0.0.1:9090",
            },
            "cpus": [core.cpu for core in self.cores],
            "shards": 2 * len(self.cores),
            "process": {
                "cpu_seconds": (self.now - BEGUN) * 0.75,
                "resident_bytes": 64_400_000,
                "open_files": self.used["open_files"],
                "open_files_max": 1_048_576,
                "threads": len(self.cores) + 2,
            },
            "configuration": {
                "file": "/etc/blipmq/blipmq.toml",
                "loaded_unix_seconds": BEGUN,
                "reloads": 0 if self.last_reload is None else self.last_reload["number"],
                "last_reload": self.last_reload,
            },
            "limits": self.limits(),
            "totals": self.totals(),
            "latency": self.latency(),
        }

    def cores_answer(self):
        self.step()
        return {"now_unix_seconds": self.now, "cores": [core.answer() for core in self.cores]}

    def list_answer(self, name, query):
        sort = query.get("sort", [LISTS[name][0]])[0]
        order = query.get("order", ["desc"])[0]
        limit_, offset = int(query.get("limit", ["50"])[0]), int(query.get("offset", ["0"])[0])
        if sort not in LISTS[name] or order not in ("asc", "desc"):
            raise Refused(f"sort is {sort}, {order}; allowed are {', '.join(LISTS[name])}")
        if not 1 <= limit_ <= 1000 or not 0 <= offset <= 10_000 - limit_:
            raise Refused(f"limit {limit_}, offset {offset}: together at most 10000")
        key = KEYS.get(sort, sort)
        rows = sorted(self.rows[name], key=lambda row: row[key], reverse=order == "desc")
        return {
            "total": len(rows),
            "offset": offset,
            "limit": limit_,
            "sort": sort,
            "order": order,
            "unanswered_cores": self.unanswered_cores,
            "rows": rows[offset : offset + limit_],
        }

    def answer(self, path, query):
        if path == "status":
            return self.status()
        if path == "cores":
            return self.cores_answer()
        return self.list_answer(path, query)


class Refused(Exception):
    """A request that the API refuses."""


def limit(name, used, bound, unit, key):
    return {"name": name, "used": used, "limit": bound, "unit": unit, "key": key}


def percentile(counts, share):
    rank, seen = math.ceil(sum(counts) * share), 0
    for bucket, number in enumerate(counts):
        seen += number
        if number and seen >= rank:
            return LATENCY_BOUNDS[min(bucket, len(LATENCY_BOUNDS) - 1)]
    return None


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        url = urlsplit(self.path)
        if url.path in FILES:
            file = FILES[url.path]
            self.say(200, file.read_bytes(), TYPES[file.suffix])
        elif url.path.startswith("/api/v1/"):
            self.api(url.path.removeprefix("/api/v1/"), parse_qs(url.query))
        else:
            self.json(404, {"error": f"there is nothing at {url.path}"})

    def api(self, path, query):
        scene = self.server.scene
        with scene.lock:
            scene.asked.append(self.path)
            if scene.token and self.headers["Authorization"] != f"Bearer {scene.token}":
                return self.json(401, {"error": "a token is needed: Authorization: Bearer TOKEN"})
            if scene.failure:
                return self.json(*scene.failure)
            if path not in ("status", "cores", *LISTS):
                return self.json(404, {"error": f"there is nothing at {self.path}"})
            try:
                return self.json(200, scene.answer(path, query))
            except Refused as why:
                return self.json(400, {"error": str(why)})

    def json(self, status, body):
        self.say(status, json.dumps(body).encode(), "application/json")

    def say(self, status, body, kind):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Logs nothing: failing tests say more."""


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        """Ignores pages that were closed before their answer."""


class FakeBroker:
    """Serves a scene on 127.0.0.1, on a free port unless one is given."""

    def __init__(self, scene, port=0):
        self.scene = scene
        self.start(port)

    def start(self, port):
        self.server = Server(("127.0.0.1", port), Handler)
        self.server.scene = self.scene
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def stop(self):
        """Ends the server: further connections are refused."""
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def start_again(self):
        self.start(self.port)


def main():
    import scenes

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=9091)
    parser.add_argument("--scene", choices=sorted(scenes.ALL), default="busy")
    chosen = parser.parse_args()
    broker = FakeBroker(scenes.ALL[chosen.scene](), chosen.port)
    print(f"{chosen.scene} at {broker.url}, ends on Ctrl-C", flush=True)
    try:
        broker.thread.join()
    except KeyboardInterrupt:
        broker.stop()


if __name__ == "__main__":
    main()
