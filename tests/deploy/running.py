"""Checks that run what deploy/ is for: a real Prometheus with its configuration, alerts and every
query of the dashboard, and the unit of the broker under a real systemd.

Called by check.py. Every server is on 127.0.0.1 and is stopped by its own handle.
"""

import contextlib
import http.server
import json
import os
import pathlib
import re
import shutil
import tempfile
import threading
import urllib.parse

import yaml

import queries
from servers import free_port, get, process, until
from tools import DEPLOY, HERE, Failed, Skipped, broker, debian, expect, must, promtool, run

TOKEN = "a token as compose-secrets.sh makes one"

# --- Prometheus ---


class Broker(http.server.BaseHTTPRequestHandler):
    """Serves metrics.txt like a busy broker: at each visit all counters have grown."""

    visits = 0

    def do_GET(self):
        if self.headers["Authorization"] != f"Bearer {TOKEN}":
            self.send_error(401)
            return
        Broker.visits += 1
        body = grown(Broker.visits).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments):
        """Says nothing."""


def grown(times):
    kinds = queries.families()
    lines = []
    for line in (HERE / "metrics.txt").read_text().splitlines():
        sample = re.fullmatch(r"([a-z_]+)(\{.*\})? (\S+)", line)
        if sample and not line.startswith("#"):
            name, labels, value = sample[1], sample[2] or "", sample[3]
            family = re.sub(r"_(bucket|sum|count)$", "", name)
            if kinds.get(name) == "counter" or kinds.get(family) == "histogram":
                value = float(value) * times
            line = f"{name}{labels} {value}"
        lines.append(line)
    return "\n".join(lines) + "\n"


def configuration(folder, target):
    """prometheus.yml with the address and token of the test broker, and shorter intervals."""
    config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    (folder / "token").write_text(TOKEN)
    shutil.copy(queries.ALERTS, folder)
    config["global"].update(scrape_interval="1s", scrape_timeout="1s", evaluation_interval="1s")
    job = config["scrape_configs"][0]
    expect(job["job_name"] == "blipmq", "the job is not called as the alerts and the dashboard want it")
    expect(job["authorization"] == {"credentials_file": "/run/secrets/metrics-token"}, str(job))
    job["authorization"]["credentials_file"] = str(folder / "token")
    job["static_configs"] = [{"targets": [target]}]
    config["scrape_configs"] = [job]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))


def prometheus_answers_every_query():
    program = debian("prometheus", "usr/bin/prometheus")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Broker)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as name, contextlib.closing(server.socket):
        folder = pathlib.Path(name)
        configuration(folder, f"127.0.0.1:{server.server_port}")
        port = free_port()
        command = [
            program,
            f"--config.file={folder}/prometheus.yml",
            f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address=127.0.0.1:{port}",
        ]
        with process(command, folder / "log") as child:

            def ask(query):
                path = "/api/v1/query?" + urllib.parse.urlencode({"query": query})
                status, body = get(port, path)
                answer = json.loads(body) if status in (200, 400, 422) else {}
                if answer.get("status") != "success":
                    raise Failed(f"{query}: {answer.get('error', body)}")
                return answer["data"]["result"]

            # Three visits, for rates; with fewer only `up` would have a value.
            enough = 'count_over_time(up{job="blipmq"}[1m]) >= 3 and up == 1'

            def enough_was_seen():
                # Prometheus answers 503 while it starts.
                return get(port, "/-/ready")[0] == 200 and ask(enough)

            until(enough_was_seen, child, folder / "log", "Prometheus did not see the broker")
            silent = []
            for where, query in queries.of_dashboard():
                result = ask(query)
                values = [sample["value"][1] for sample in result]
                if where.startswith("annotation"):
                    continue
                if not values or "NaN" in values:
                    silent.append(f"{where}: {query}: {values}")
            expect(not silent, "these panels would be empty:\n" + "\n".join(silent))

            def rules():
                groups = json.loads(get(port, "/api/v1/rules")[1])["data"]["groups"]
                found = [rule for group in groups for rule in group["rules"]]
                return found and all(rule["health"] != "unknown" for rule in found) and found

            found = until(rules, child, folder / "log", "Prometheus did not evaluate the alerts")
            wrong = [rule for rule in found if rule["health"] != "ok"]
            expect(not wrong, str(wrong))
            names = {alert["alert"] for alert in queries.alerts()}
            expect({rule["name"] for rule in found} == names, "not all alerts were loaded")
        server.shutdown()


def with_certificate(folder, keys):
    """A configuration file whose [tls] has a certificate of today, and these keys."""
    if not shutil.which("openssl"):
        raise Skipped("there is no openssl to make a certificate with")
    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    files = ["-keyout", folder / "a.key", "-out", folder / "a.pem"]
    must(["openssl", "req", "-x509", *new_key, *names, *files])
    config = folder / "blipmq.toml"
    config.write_text(f'[tls]\ncert_file = "a.pem"\nkey_file = "a.key"\n{keys}')
    return config


def broker_serves_what_is_shown():
    """The metrics of the broker are those of metrics.txt, against which all queries are checked."""
    with tempfile.TemporaryDirectory() as name:
        log, blip, port = pathlib.Path(name) / "log", free_port(), free_port()
        addresses = ["--bind", f"127.0.0.1:{blip}", "--nats-bind", "127.0.0.1:0"]
        # The metrics of certificates need one; the subscriber below talks in plain text.
        config = with_certificate(pathlib.Path(name), 'blip = "off"\n')
        command = [broker(), "--config", config, *addresses, "--metrics-bind", f"127.0.0.1:{port}"]
        with process(command, log) as child:
            until(lambda: get(port, "/metrics")[1], child, log, "the broker served no metrics")
            # The metrics of single subscriptions need one.
            subscriber = [broker(), "sub", "--server", f"127.0.0.1:{blip}", ">"]
            with process(subscriber, pathlib.Path(name) / "subscriber"):

                def page_with_a_subscription():
                    page = get(port, "/metrics")[1]
                    return re.search(r"^blipmq_subscriptions\{.*\} 1$", page, re.MULTILINE) and page

                page = until(page_with_a_subscription, child, log, "the client could not subscribe")
    must([promtool(), "check", "metrics"], input=page)
    has = dict(re.findall(r"^# TYPE (\S+) (\S+)$", page, re.MULTILINE))
    known = queries.families()
    missing = sorted(known.keys() - has.keys())
    expect(not missing, f"the broker has no {', '.join(missing)}")
    extra = sorted(has.keys() - known.keys())
    expect(not extra, f"metrics.txt and the dashboard do not have {', '.join(extra)}")
    kinds = {name: (known[name], has[name]) for name in known if known[name] != has[name]}
    expect(not kinds, f"kinds differ, metrics.txt and broker: {kinds}")


# --- systemd ---


def under_systemd(*drop_in):
    """Runs the unit under a real systemd; returns the answers of systemd-probe.sh by name, and the log."""
    if os.geteuid() != 0:
        raise Skipped("a systemd of its own needs root")
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        folder.chmod(0o755)
        status, said = run([HERE / "systemd-lab.sh", broker(), folder, *drop_in], timeout=180)
        if status == 3:
            raise Skipped(said.strip())
        expect(status == 0, said)
        lines = (folder / "said").read_text().splitlines()
        log = (folder / "log").read_text() if (folder / "log").exists() else ""
    answers = dict(line.partition(" ")[::2] for line in lines)
    if "stopped" not in answers:
        raise Failed("\n".join(["the probe did not come to its end:", *lines, log]))
    return answers, log


def expect_answers(answers, log, wanted):
    wrong = {name: answers.get(name) for name in wanted if answers.get(name) != wanted[name]}
    expect(not wrong, f"under systemd: {wrong}, wanted is {wanted}; the broker said:\n{log[-2000:]}")


HARDENED = {
    "state": "active",
    "result": "success 0",
    # The slice that isolate-cores.sh leaves alone.
    "group": "/blipmq.slice/blipmq.service",
    "capabilities": "0000000000000000",
    # 2: a filter is active.
    "seccomp": "2",
    "metrics": "HTTP/1.0 200 OK",
    "stopped": "inactive success",
}


def unit_is_ready_reloaded_and_watched():
    answers, log = under_systemd()
    wanted = {
        "watchdog": "10s",
        "reload": "0",
        "reloaded": "active same",
        # A wrong file: the command fails, the broker continues.
        "bad-reload": "1",
        "bad-reloaded": "active same",
        # Stopped by SIGSTOP, started again once.
        "watched": "active 1",
    }
    expect_answers(answers, log, {**HARDENED, **wanted})


ALL = [
    prometheus_answers_every_query,
    broker_serves_what_is_shown,
    unit_is_ready_reloaded_and_watched,
]
