"""Every query of the dashboard and the alerts, and the metrics they name.

Used by the checks. metrics.txt has all metrics.
"""

import json
import re

import yaml

from tools import DEPLOY, HERE

DASHBOARD = DEPLOY / "grafana" / "dashboards" / "blipmq.json"
ALERTS = DEPLOY / "prometheus" / "alerts.yml"


def families():
    """The kind of each metric, by name."""
    text = (HERE / "metrics.txt").read_text()
    return dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))


def metrics_in(expression):
    """The families that an expression names, also by a part of a histogram."""
    names = set(re.findall(r"\bblipmq_[a-z_]+", expression))
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in names}


def filled_in(expression):
    """A query with the variables of Grafana filled in: all brokers, and the shortest range."""
    return expression.replace("$__rate_interval", "1m").replace("$instance", ".*")


def panels():
    """All panels but the rows."""
    dashboard = json.loads(DASHBOARD.read_text())
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def of_dashboard():
    """(where, query) of each target of each panel, and of the annotations."""
    for panel in panels():
        for target in panel["targets"]:
            yield f"{panel['title']} {target['refId']}", filled_in(target["expr"])
    for annotation in json.loads(DASHBOARD.read_text())["annotations"]["list"]:
        if "expr" in annotation:
            yield f"annotation {annotation['name']}", filled_in(annotation["expr"])


def alerts():
    """All alerts of alerts.yml."""
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]
