# SPDX-License-Identifier: Apache-2.0
"""Rules for alerts, as Prometheus reads them (etc/monitoring/holdfast.rules.yaml)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import yaml

from worker.metrics.shipped.expression import expression

_HOST = "{{ $labels.service }} {{ $labels.hostname }}"


@dataclass(frozen=True)
class Alert:
    """One alert.

    :param text: its expression; see :func:`worker.metrics.shipped.expression.expression`.
    :param lasts: how long it has to hold.
    :param advice: where to look.
    """

    name: str
    text: str
    lasts: str
    severity: Literal["critical", "warning", "info"]
    summary: str
    advice: str

    @property
    def rule(self) -> dict[str, Any]:
        """The rule."""
        return {
            "alert": self.name,
            "expr": expression(self.text),
            "for": self.lasts,
            "labels": {"severity": self.severity},
            "annotations": {"summary": self.summary, "description": self.advice},
        }


ALERTS = (
    Alert(
        "HoldfastNotAlive",
        "{ALIVE} == 0",
        "1m",
        "critical",
        f"{_HOST} shows no life",
        "A loop hangs, or a process has ended: holdfast health --alive names it; restart it.",
    ),
    Alert(
        "HoldfastNotReady",
        "{READY} == 0",
        "5m",
        "critical",
        f"{_HOST} takes no operations",
        "holdfast health names the check that fails, and its reason.",
    ),
    Alert(
        "HoldfastDriverDown",
        "{DRIVER_UP} == 0",
        "5m",
        "critical",
        f"The driver of {_HOST} is not up",
        "The log has the error of its set-up, which is tried again.",
    ),
    Alert(
        "HoldfastOutage",
        "{OUTAGE_SECONDS} > 60",
        "0s",
        "critical",
        f"{_HOST} has missed the {{{{ $labels.system }}}} for a minute",
        "Operations wait and none is lost; the log has the error.",
    ),
    Alert(
        "HoldfastHeartbeatLate",
        "{HEARTBEAT_AGE} > 60",
        "0s",
        "critical",
        f"{_HOST} wrote no heartbeat for a minute",
        "Cinder takes it for down: look at its database.",
    ),
    Alert(
        "HoldfastReportsLate",
        "{REPORT_AGE} > 300",
        "0s",
        "warning",
        f"{_HOST} sent no capability report for five minutes",
        "The scheduler soon chooses other backends: the statistics of the driver may hang.",
    ),
    Alert(
        "HoldfastOperationsFail",
        'sum by (service, hostname, method) (increase({OPERATIONS}{{result="failed"}}[15m])) > 3'
        " and sum by (service, hostname, method)"
        ' (increase({OPERATIONS}{{result="failed"}}[15m]))'
        " > 0.5 * sum by (service, hostname, method) (increase({OPERATIONS}[15m]))",
        "5m",
        "warning",
        f"Most {{{{ $labels.method }}}} of {_HOST} fail",
        "holdfast flow list shows them with their errors.",
    ),
    Alert(
        "HoldfastDriverErrors",
        "increase({DRIVER_ERRORS}[15m]) > 10",
        "0s",
        "warning",
        f"Calls of {{{{ $labels.method }}}} fail on {_HOST}",
        "The log has the errors of the backend.",
    ),
    Alert(
        "HoldfastLeftovers",
        "increase({LEFTOVERS}[1h]) > 0",
        "0s",
        "warning",
        f"Reverts failed on {_HOST}: objects may be left on the backend",
        "holdfast flow list names the flows; remove the objects, or: holdfast flow revert.",
    ),
    Alert(
        "HoldfastMessagesRejected",
        "increase({REJECTED}[1h]) > 0",
        "0s",
        "warning",
        f"{_HOST} rejected messages",
        "holdfast cast list --rejected shows them.",
    ),
    Alert(
        "HoldfastOperationSlow",
        "{OLDEST} > 3600 unless on (service, hostname, method) {TRANSFERS} > 0",
        "5m",
        "warning",
        f"{{{{ $labels.method }}}} of {_HOST} takes longer than an hour",
        "holdfast flow list shows the step; operation_timeout would end it.",
    ),
    Alert(
        "HoldfastTransferStalled",
        "{TRANSFER_RATE} < 1 and {TRANSFERS} > 0",
        "15m",
        "warning",
        f"Data transfers of {{{{ $labels.method }}}} on {_HOST} move nothing",
        "The backend, the store or the network hangs.",
    ),
    Alert(
        "HoldfastResourceStuck",
        '{TRANSIENT_AGE}{{status!~"backing-up|restoring.*|downloading|uploading|retyping"}} > 3600',
        "5m",
        "warning",
        f"A {{{{ $labels.resource }}}} of {_HOST} has been {{{{ $labels.status }}}} for an hour",
        "holdfast explain ID names the operation, or that there is none.",
    ),
    Alert(
        "HoldfastThreadsBusy",
        'sum by (service, hostname) ({WAITING}{{reason="thread"}}) > 50',
        "15m",
        "warning",
        f"Operations of {_HOST} wait for threads",
        "The backend is slower than its casts: see executor_thread_pool_size, and processes.",
    ),
    Alert(
        "HoldfastCastsDeferred",
        "{CASTS_DEFERRED} > 0",
        "15m",
        "info",
        f"Casts for {_HOST} wait at the broker",
        "As many operations wait as the limits allow: see waiting_operations_max.",
    ),
    Alert(
        "HoldfastJournalSlow",
        "histogram_quantile(0.9, sum by (le, service, hostname)"
        " (rate({COMMIT_SECONDS}_bucket[5m]))) > 0.25",
        "10m",
        "warning",
        f"The journal of {_HOST} is slow",
        "Each acceptance waits for its disk, or its database.",
    ),
    Alert(
        "HoldfastLeaseLate",
        "{LEASE_LEFT} < 5",
        "0s",
        "warning",
        f"The lease of process {{{{ $labels.process }}}} of {_HOST} was not renewed in time",
        "Other hosts adopt its operations when it ends: look at the database of the journal.",
    ),
    Alert(
        "HoldfastPoolFull",
        "{POOL_FREE} / ({POOL_TOTAL} > 0) < 0.1",
        "15m",
        "warning",
        "Pool {{ $labels.pool }} of {{ $labels.hostname }} has less than a tenth left",
        "Extend it, or move volumes.",
    ),
    Alert(
        "HoldfastPoolOvercommitted",
        "{POOL_PROVISIONED} > {POOL_TOTAL} * {POOL_RATIO}",
        "15m",
        "warning",
        "Pool {{ $labels.pool }} of {{ $labels.hostname }} has promised more than it may",
        "The scheduler sends it no volumes: see max_over_subscription_ratio.",
    ),
    Alert(
        "HoldfastAuditDrift",
        "{AUDIT_DRIFTS} > 0",
        "0s",
        "warning",
        "The audit found drift of the kind {{ $labels.kind }}",
        "holdfast audit lists it, and says what mends it.",
    ),
    Alert(
        "HoldfastAuditLate",
        "{AUDIT_AGE} > 180000 or {AUDIT_UNABLE} > 0",
        "0s",
        "info",
        "No whole audit has ended for two days",
        "systemctl status holdfast-audit.timer, and the log of holdfast-audit.service.",
    ),
    Alert(
        "HoldfastSpansLost",
        'increase({TRACE_SPANS}{{result!="sent"}}[15m]) > 0',
        "15m",
        "info",
        f"Spans of traces of {_HOST} are lost",
        "The collector is away or slow; operations are not affected.",
    ),
)


def rules() -> str:
    """Return the file of rules."""
    groups = [{"name": "holdfast", "rules": [one.rule for one in ALERTS]}]
    head = "# Made by: python -m worker.metrics.shipped\n"
    text = yaml.safe_dump({"groups": groups}, sort_keys=False, width=100)
    return head + str(text)
