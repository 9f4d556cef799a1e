# SPDX-License-Identifier: Apache-2.0
"""Each alert fires on its cause, not before, and clears when the cause is gone.

Series have a value each minute: ``0x9`` is ten zeros, ``0+60x9`` grows by sixty.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from worker.metrics.shipped import alerts

HOST = 'service="cinder-volume",hostname="h@b"'


@dataclass(frozen=True)
class Case:
    """Series that make an alert fire.

    :param series: names with their own labels, and their values.
    :param quiet: a minute at which it does not fire yet; ``fires`` and ``clear`` likewise.
    """

    series: dict[str, str]
    quiet: int
    fires: int
    clear: int


CASES = {
    "HoldfastNotAlive": Case({"service_alive": "1x4 0x4 1x20"}, 5, 7, 15),
    "HoldfastNotReady": Case({"service_ready": "1x4 0x10 1x20"}, 8, 12, 25),
    "HoldfastDriverDown": Case({"driver_initialized": "1x4 0x10 1x20"}, 8, 12, 25),
    "HoldfastOutage": Case({'outage_seconds|system="bus"': "0x4 30 90 150 0x20"}, 5, 6, 12),
    "HoldfastHeartbeatLate": Case({"heartbeat_age_seconds": "5x4 40 100 5x20"}, 5, 6, 12),
    "HoldfastReportsLate": Case({"report_age_seconds": "5x4 240 330 5x20"}, 5, 6, 12),
    "HoldfastOperationsFail": Case(
        {
            'operations_total|method="create_volume",result="failed"': "0x9 0+2x10 20x60",
            'operations_total|method="create_volume",result="done"': "5x90",
        },
        *(9, 20, 60),
    ),
    "HoldfastDriverErrors": Case(
        {'driver_call_errors_total|driver="D",method="create_volume"': "0x9 0+5x10 50x60"},
        *(9, 15, 60),
    ),
    "HoldfastLeftovers": Case({"leftovers_total": "0x9 1x100"}, 9, 12, 90),
    "HoldfastMessagesRejected": Case({"messages_rejected_total": "0x9 2x100"}, 9, 12, 90),
    "HoldfastOperationSlow": Case(
        {
            'operation_oldest_seconds|method="create_volume"': "0+60x80 0x20",
            'operation_oldest_seconds|method="create_backup"': "0+60x100",
            'transfers_running|method="create_backup"': "1x100",
        },
        *(60, 70, 90),
    ),
    "HoldfastTransferStalled": Case(
        {
            'transfer_bytes_per_second|method="create_backup"': "9999x9 0x30 9999x20",
            'transfers_running|method="create_backup"': "1x80",
        },
        *(20, 30, 45),
    ),
    "HoldfastResourceStuck": Case(
        {
            'transient_oldest_seconds|resource="volume",status="deleting"': "0+60x80 0x20",
            'transient_oldest_seconds|resource="volume",status="backing-up"': "0+60x100",
        },
        *(60, 70, 90),
    ),
    "HoldfastThreadsBusy": Case(
        {
            'operations_waiting|method="create_volume",reason="thread"': "0x9 60x30 0x20",
            'operations_waiting|method="create_volume",reason="turn"': "900x60",
        },
        *(20, 30, 45),
    ),
    "HoldfastCastsDeferred": Case({"casts_deferred": "0x9 5x30 0x20"}, 20, 30, 45),
    "HoldfastJournalSlow": Case(
        {
            'journal_commit_seconds_bucket|le="0.25"': "0+60x10 600x30 600+60x40",
            'journal_commit_seconds_bucket|le="1.0"': "0+60x10 660+60x70",
            'journal_commit_seconds_bucket|le="+Inf"': "0+60x10 660+60x70",
        },
        *(12, 35, 75),
    ),
    "HoldfastLeaseLate": Case(
        {'slot_lease_remaining_seconds|process="0"': "13x4 6 2 13x20"}, 5, 6, 12
    ),
    "HoldfastPoolFull": Case(
        {
            'pool_capacity_total_bytes|pool="p"': "1000x90",
            'pool_capacity_free_bytes|pool="p"': "500x9 50x30 500x20",
        },
        *(20, 30, 45),
    ),
    "HoldfastPoolOvercommitted": Case(
        {
            'pool_capacity_total_bytes|pool="p"': "1000x90",
            'pool_max_over_subscription_ratio|pool="p"': "2x90",
            'pool_capacity_provisioned_bytes|pool="p"': "1500x9 2500x30 1500x20",
        },
        *(20, 30, 45),
    ),
    "HoldfastAuditDrift": Case({'audit_drifts|kind="k"': "0x4 2x4 0x20"}, 4, 6, 15),
    "HoldfastAuditLate": Case(
        {"audit_age_seconds": "0x4 200000x4 0x20", "audit_unread": "0x30"}, 4, 6, 15
    ),
    "HoldfastSpansLost": Case(
        {'trace_spans_total|result="failed"': "0x9 0+5x30 150x60"}, 9, 40, 70
    ),
}


def series_of(case: Case) -> list[dict[str, str]]:
    found = []
    for key, values in case.series.items():
        name, _bar, labels = key.partition("|")
        of = f"{HOST},{labels}" if labels else HOST
        found.append({"series": f"holdfast_{name}{{{of}}}", "values": values})
    return found


def count_of(minute: int, name: str, fires: bool) -> dict[str, object]:
    """Return the test whether an alert fires at a minute."""
    expr = f'count(ALERTS{{alertname="{name}",alertstate="firing"}}) or vector(0)'
    value = {"labels": "{}", "value": int(fires)}
    return {"expr": expr, "eval_time": f"{minute}m", "exp_samples": [value]}


def test_each_alert_has_a_case() -> None:
    assert set(CASES) == {one.name for one in alerts.ALERTS}


def test_each_alert_fires_on_its_cause_and_clears(tmp_path: Path) -> None:
    if (promtool := shutil.which("promtool")) is None:
        if os.environ.get("CI"):
            pytest.fail("promtool of Prometheus is needed")
        pytest.skip("promtool of Prometheus is not installed")
    (tmp_path / "rules.yaml").write_text(alerts.rules())
    tests = [
        {
            "interval": "1m",
            "name": name,
            "input_series": series_of(case),
            "promql_expr_test": [
                count_of(case.quiet, name, False),
                count_of(case.fires, name, True),
                count_of(case.clear, name, False),
            ],
        }
        for name, case in CASES.items()
    ]
    plan = {"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": tests}
    (tmp_path / "test.yaml").write_text(yaml.safe_dump(plan))

    for command in (["check", "rules", "rules.yaml"], ["test", "rules", "test.yaml"]):
        done = subprocess.run(
            [promtool, *command], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
