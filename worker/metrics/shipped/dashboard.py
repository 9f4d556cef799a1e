# SPDX-License-Identifier: Apache-2.0
"""A dashboard for Grafana (etc/monitoring/holdfast-dashboard.json)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from worker.metrics.shipped.expression import expression

_WHERE = '{{service=~"$service",hostname=~"$hostname"}}'
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_WIDTH, _HEIGHT, _COLUMNS = 8, 8, 3


@dataclass(frozen=True)
class Panel:
    """One graph.

    :param queries: expressions and the texts of their lines; ``#`` stands for the chosen services.
    :param unit: as Grafana names it.
    """

    title: str
    queries: tuple[tuple[str, str], ...]
    unit: str = "short"


def _one(title: str, text: str, legend: str, unit: str = "short") -> Panel:
    return Panel(title, ((text, legend),), unit)


def _quantile(metric: str, by: str) -> str:
    return f"histogram_quantile(0.95, sum by (le, {by}) (rate({{{metric}}}_bucket#[5m])))"


PANELS = (
    _one("Ready", "{READY}#", "{{hostname}}", "bool_yes_no"),
    _one("Checks that fail", "{FAILED_CHECKS}# > 0", "{{hostname}} {{check}}"),
    _one("Outages", "{OUTAGE_SECONDS}# > 0", "{{hostname}} {{system}}", "s"),
    _one(
        "Operations that ended",
        "sum by (method, result) (rate({OPERATIONS}#[5m]))",
        "{{method}} {{result}}",
        "ops",
    ),
    _one("Operations that run", "sum by (method) ({RUNNING}#)", "{{method}}"),
    _one("Operations that wait", "sum by (method, reason) ({WAITING}#)", "{{method}} {{reason}}"),
    _one("Time of operations, 95 %", _quantile("OPERATION_SECONDS", "method"), "{{method}}", "s"),
    _one("Time of driver calls, 95 %", _quantile("DRIVER_SECONDS", "method"), "{{method}}", "s"),
    _one(
        "Driver calls that fail",
        "sum by (hostname, method) (rate({DRIVER_ERRORS}#[5m]))",
        "{{hostname}} {{method}}",
        "ops",
    ),
    _one("Oldest operation", "{OLDEST}#", "{{hostname}} {{method}}", "s"),
    _one(
        "Oldest transient status", "{TRANSIENT_AGE}#", "{{hostname}} {{resource}} {{status}}", "s"
    ),
    Panel(
        "Resumed, reverted, leftovers",
        (
            ("sum by (hostname) (increase({RESUMED}#[1h]))", "{{hostname}} resumed"),
            ("sum by (hostname, cause) (increase({REVERTED}#[1h]))", "{{hostname}} {{cause}}"),
            ("sum by (hostname) (increase({LEFTOVERS}#[1h]))", "{{hostname}} leftovers"),
        ),
    ),
    _one("Data transfers", "{TRANSFER_RATE}#", "{{hostname}} {{method}}", "Bps"),
    _one("Time left of transfers", "{TRANSFER_LEFT}#", "{{hostname}} {{method}}", "s"),
    _one("Moved", "sum by (method) (increase({TRANSFERRED}#[1h]))", "{{method}}", "bytes"),
    _one("Free capacity", "{POOL_FREE}#", "{{hostname}} {{pool}}", "bytes"),
    _one(
        "Commits of the journal, 95 %", _quantile("COMMIT_SECONDS", "hostname"), "{{hostname}}", "s"
    ),
    _one("Entries of the journal", "{JOURNAL_ENTRIES}", "{{instance}} {{state}}"),
    Panel(
        "Heartbeats and reports",
        (("{HEARTBEAT_AGE}#", "{{hostname}} heartbeat"), ("{REPORT_AGE}#", "{{hostname}} report")),
        "s",
    ),
    _one("Leases", "{LEASE_LEFT}#", "{{hostname}}/{{process}}", "s"),
    _one("Messages rejected", "sum by (hostname) (increase({REJECTED}#[1h]))", "{{hostname}}"),
    _one("Waits for locks, 95 %", _quantile("LOCK_SECONDS", "hostname"), "{{hostname}}", "s"),
    _one("Drift of the last audit", "{AUDIT_DRIFTS} > 0", "{{instance}} {{kind}}"),
    _one(
        "Spans of traces",
        "sum by (hostname, result) (rate({TRACE_SPANS}#[5m]))",
        "{{hostname}} {{result}}",
        "ops",
    ),
)


def dashboard() -> str:
    """Return the file of the dashboard."""
    shown = {
        "title": "Holdfast",
        "uid": "holdfast",
        "tags": ["holdfast", "cinder"],
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": list(_variables())},
        "panels": [_panel(number, one) for number, one in enumerate(PANELS)],
    }
    return json.dumps(shown, indent=1) + "\n"


def _variables() -> Iterator[dict[str, Any]]:
    yield {"name": "datasource", "type": "datasource", "query": "prometheus"}
    for name in ("service", "hostname"):
        query = expression(f"label_values({{READY}}, {name})")
        yield {
            "name": name,
            "type": "query",
            "datasource": _SOURCE,
            "query": query,
            "refresh": 2,
            "multi": True,
            "includeAll": True,
            "allValue": ".*",
            "current": {"text": "All", "value": "$__all"},
        }


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    row, column = divmod(number, _COLUMNS)
    place = {"h": _HEIGHT, "w": _WIDTH, "x": column * _WIDTH, "y": row * _HEIGHT}
    targets = [
        {
            "refId": chr(ord("A") + index),
            "datasource": _SOURCE,
            "expr": expression(text.replace("#", _WHERE)),
            "legendFormat": legend,
        }
        for index, (text, legend) in enumerate(panel.queries)
    ]
    return {
        "id": number + 1,
        "title": panel.title,
        "type": "timeseries",
        "datasource": _SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": targets,
    }
