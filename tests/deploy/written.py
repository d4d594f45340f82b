"""Checks without running anything: every file of deploy/ is parsed, linted, and compared with its claims.

Called by check.py. Docker and Kubernetes do not run here; their files are checked by the programs that
read them (Compose itself, the schemas of Kubernetes) and by what this file says of them.
"""

import json
import pathlib
import re
import shutil
import sys
import tempfile

import yaml

import queries
from tools import DEPLOY, HERE, ROOT, Skipped, broker, debian, expect, must
from tools import program_of_venv, promtool, run

KUBERNETES_VERSIONS = ("1.32", "1.34")
# On the scale of systemd from 0 to 10; a service without hardening has 9.6.
EXPOSURE_MAX = 2.0


def yaml_is_clean():
    yamllint = program_of_venv("yamllint")
    must([yamllint, "--strict", "--config-file", HERE / "yamllint.yaml", DEPLOY, HERE])


def dockerfile_is_clean():
    must([program_of_venv("hadolint"), DEPLOY / "Dockerfile"])


def image_is_built_from_what_it_copies():
    """Lays out the build context without Docker, and checks that cargo finds everything in it."""
    text = (DEPLOY / "Dockerfile").read_text()
    copied = set()
    for line in re.findall(r"^COPY (?!--from)(.*)$", text, re.MULTILINE):
        copied.update(line.split()[:-1])
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    let_in = {line[1:] for line in ignored if line.startswith("!")}
    expect(ignored[1] == "*", ".dockerignore has to begin with leaving everything out")
    expect(copied == let_in, f"Dockerfile copies {sorted(copied)}, .dockerignore lets in {sorted(let_in)}")
    with tempfile.TemporaryDirectory() as folder:
        for name in copied:
            source, target = ROOT / name, pathlib.Path(folder) / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("target", "records"))
            else:
                shutil.copy(source, target)
        must(["cargo", "metadata", "--no-deps", "--offline", "--format-version", "1"], cwd=folder)


def unit_is_accepted_and_hardened():
    if not shutil.which("systemd-analyze"):
        raise Skipped("systemd-analyze is not installed")
    unit = (DEPLOY / "blipmq.service").read_text()
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "blipmq.service"
        # `verify` needs an existing program.
        file.write_text(unit.replace("/usr/local/bin/blipmq", str(broker())))
        _, said = run(["systemd-analyze", "verify", file])
        # Other units of the machine may have problems too.
        ours = [line for line in said.splitlines() if "blipmq.service" in line]
        expect(not ours, "\n".join(ours))
        status, said = run(["systemd-analyze", "security", "--offline=true", "--no-pager", file])
        if status != 0 and "offline" in said:
            raise Skipped("systemd-analyze is older than 250 and cannot tell the exposure of a file")
        found = re.search(r"exposure level for blipmq.service: ([0-9.]+)", said)
        expect(found, said)
        expect(float(found[1]) <= EXPOSURE_MAX, f"the exposure is {found[1]}, over {EXPOSURE_MAX}")


def docker_seccomp():
    upstream = "usr/share/gocode/src/github.com/docker/docker/profiles/seccomp/default.json"
    return debian("golang-github-docker-docker-dev", upstream, suite="trixie")


def docker_compose():
    return debian("docker-compose", "usr/libexec/docker/cli-plugins/docker-compose", suite="trixie")


def seccomp_is_docker_s_and_io_uring():
    script = DEPLOY / "make-seccomp.py"
    must([sys.executable, script, "--check"])
    file = docker_seccomp()
    status, said = run([sys.executable, script, "--check", file])
    if status != 0 and "another version" in said:
        raise Skipped(f"with Debian's copy: {said.strip()}")
    expect(status == 0, said)
    for name in ("seccomp.json", "kubernetes/seccomp.json"):
        profile = json.loads((DEPLOY / name).read_text())
        allowed = {
            call
            for rule in profile["syscalls"]
            if rule["action"] == "SCMP_ACT_ALLOW" and not rule.get("args")
            for call in rule["names"]
        }
        missing = {"io_uring_setup", "io_uring_enter", "io_uring_register"} - allowed
        expect(not missing, f"{name} does not allow {missing}")
    # A runtime that ignores conditions would allow these with the other profile.
    for call in ("mount", "bpf", "setns", "reboot", "init_module"):
        expect(call not in allowed, f"kubernetes/seccomp.json allows {call} to everybody")


def compose_is_understood_and_hardened():
    compose = docker_compose()
    status, said = run([compose, "version"])
    if status != 0:
        raise Skipped(f"Debian's docker-compose does not run here: {said.strip()[:100]}")
    said = must([compose, "--file", DEPLOY / "compose.yaml", "config"])
    services = yaml.safe_load(said)["services"]
    expect(set(services) == {"blipmq", "prometheus", "grafana"}, str(set(services)))
    for name, service in services.items():
        expect(service.get("read_only") is True, f"{name} can write to its image")
        expect(service.get("cap_drop") == ["ALL"], f"{name} has capabilities")
        expect("no-new-privileges:true" in service["security_opt"], f"{name} can gain privileges")
        for port in service["ports"]:
            expect(port.get("host_ip") == "127.0.0.1", f"port {port['published']} is for everybody")
    blipmq = services["blipmq"]
    expect("seccomp:./seccomp.json" in blipmq["security_opt"], "blipmq runs without its seccomp profile")
    expect(blipmq["ulimits"] == {"memlock": -1, "nofile": 65536}, str(blipmq["ulimits"]))
    said = must([compose, "--file", DEPLOY / "compose.yaml", "config"], env={"BLIPMQ_CPUS": "2-3"})
    expect(yaml.safe_load(said)["services"]["blipmq"]["cpuset"] == "2-3", "BLIPMQ_CPUS does nothing")
    made = set(re.findall(r"^  (\S+)  +\S", must([DEPLOY / "compose-secrets.sh", "--help"]), re.MULTILINE))
    secrets = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["secrets"]
    for name, secret in secrets.items():
        expect(secret == {"file": f"./secrets/{name}"}, f"secret {name} is not a file of its name")
        expect(name in made, f"compose-secrets.sh does not make {name}")


def kubernetes_accepts_it():
    validate = program_of_venv("kubernetes-validate")
    file = DEPLOY / "kubernetes" / "blipmq.yaml"
    for version in KUBERNETES_VERSIONS:
        must([validate, "--strict", "--kubernetes-version", version, file])
    things = {(thing["kind"], thing["metadata"]["name"]): thing for thing in yaml.safe_load_all(file.read_text())}
    pod = things["StatefulSet", "blipmq"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    resources = container["resources"]
    expect(resources["requests"] == resources["limits"], "the pod is not Guaranteed")
    expect(resources["limits"]["cpu"].isdecimal(), "the pod gets no CPUs of its own: not a whole number")
    expect(pod["securityContext"]["seccompProfile"]["type"] == "Localhost", "io_uring is forbidden")
    text = things["Secret", "blipmq"]["stringData"]["blipmq.toml"]
    drain = int(re.search(r"^drain_timeout_ms = (\d+)$", text, re.MULTILINE)[1]) / 1000
    grace = pod["terminationGracePeriodSeconds"]
    sleep = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    expect(sleep + drain + 5 <= grace, f"{sleep} + {drain} s of draining do not fit into {grace} s")
    with tempfile.TemporaryDirectory() as folder:
        config = pathlib.Path(folder) / "blipmq.toml"
        config.write_text(text)
        status, said = run([broker(), "check-config", config])
        expect(status != 0 and "token" in said, "the manifest works without a token of one's own")
        config.write_text(text.replace('token = ""', 'token = "one of its own"'))
        must([broker(), "check-config", config])


def configuration_of_the_image_is_valid():
    # Whoever runs the image decides who reaches its ports, and says so.
    status, said = run([broker(), "check-config", DEPLOY / "container.toml"])
    expect(status == 1 and "--insecure REASON" in said, f"the image is open by accident: {said}")
    text = (DEPLOY / "container.toml").read_text().replace("[server]", '[server]\ninsecure = "a test"')
    with tempfile.TemporaryDirectory() as folder:
        config = pathlib.Path(folder) / "blipmq.toml"
        config.write_text(text)
        must([broker(), "check-config", config])
    with tempfile.TemporaryDirectory() as folder:
        must([DEPLOY / "compose-secrets.sh"], env={"SECRETS": folder, "PATH": "/usr/bin:/bin"})
        said = must([broker(), "check-config", pathlib.Path(folder) / "blipmq.toml"])
        expect('bind_addr = "0.0.0.0:9090"' in said, "Prometheus would not reach the metrics")


def alerts_fire_when_they_should():
    tool = promtool()
    must([tool, "check", "config", "--syntax-only", DEPLOY / "prometheus" / "prometheus.yml"])
    must([tool, "check", "rules", queries.ALERTS])
    must([tool, "test", "rules", HERE / "alerts_test.yml"])
    tested = set(re.findall(r"\bBlipmq\w+", (HERE / "alerts_test.yml").read_text()))
    names = [alert["alert"] for alert in queries.alerts()]
    expect(len(names) == len(set(names)), "two alerts have one name")
    expect(set(names) == tested, f"alerts without a test, or the other way: {set(names) ^ tested}")
    for alert in queries.alerts():
        name, notes = alert["alert"], alert["annotations"]
        expect(alert["labels"]["severity"] in ("critical", "warning"), f"{name} has no severity")
        expect({"summary", "description", "runbook"} == set(notes), f"{name} says too little")
        expect(notes["runbook"].startswith("blipmq help troubleshooting"), f"{name} points nowhere")


def metrics_exist_and_are_shown():
    tool = promtool()
    must([tool, "check", "metrics"], input=(HERE / "metrics.txt").read_text())
    known = set(queries.families())
    for alert in queries.alerts():
        unknown = queries.metrics_in(alert["expr"]) - known
        expect(not unknown, f"alert {alert['alert']} asks for {unknown}, which no broker has")
    shown = set()
    for where, query in queries.of_dashboard():
        unknown = queries.metrics_in(query) - known
        expect(not unknown, f"{where} asks for {unknown}, which no broker has")
        shown |= queries.metrics_in(query)
    expect(shown == known, f"the dashboard does not show {known - shown}")


def dashboard_is_well_formed():
    dashboard = json.loads(queries.DASHBOARD.read_text())
    everything = dashboard["panels"]
    expect(len({panel["id"] for panel in everything}) == len(everything), "two panels have one id")
    taken = {}
    for panel in everything:
        title, place = panel["title"], panel["gridPos"]
        expect(place["x"] + place["w"] <= 24, f"{title} is wider than the page")
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                other = taken.setdefault((x, y), title)
                expect(other == title, f"{title} lies over {other}")
    source = {"type": "prometheus", "uid": "${datasource}"}
    for panel in queries.panels():
        title = panel["title"]
        expect(panel["description"], f"{title} has no description")
        expect(panel["datasource"] == source, f"{title} has a source of its own")
        refs = [target["refId"] for target in panel["targets"]]
        expect(len(refs) == len(set(refs)), f"{title} has two targets of one name")
        for target in panel["targets"]:
            expect(target["datasource"] == source, f"{title} has a source of its own")
            expect('instance=~"$instance"' in target["expr"], f"{title} shows other brokers too")
    names = {variable["name"] for variable in dashboard["templating"]["list"]}
    expect(names == {"datasource", "instance"}, f"the variables are {names}")
    provisioning = DEPLOY / "grafana" / "provisioning"
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "blipmq.yml").read_text())["providers"]
    mounts = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["grafana"]["volumes"]
    expect(
        f"./grafana/dashboards:{provider['options']['path']}:ro" in mounts,
        "Grafana looks for the dashboard where compose.yaml does not mount it",
    )


ALL = [
    yaml_is_clean,
    dockerfile_is_clean,
    image_is_built_from_what_it_copies,
    unit_is_accepted_and_hardened,
    seccomp_is_docker_s_and_io_uring,
    compose_is_understood_and_hardened,
    kubernetes_accepts_it,
    configuration_of_the_image_is_valid,
    alerts_fire_when_they_should,
    metrics_exist_and_are_shown,
    dashboard_is_well_formed,
]
