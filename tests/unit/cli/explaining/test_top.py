# SPDX-License-Identifier: Apache-2.0
"""holdfast top: operations that run and wait, and the states of services."""

from __future__ import annotations

import io
import uuid
from typing import Any

import pytest
from taskflow import states

from tests.unit.cli.conftest import Shell
from tests.unit.cli.explaining.test_explain import SLOT, running
from worker.cli.explain import activity, top_command
from worker.cli.output.colour import Colour
from worker.conf import backends
from worker.journal.journal import Journal


def operation(**more: Any) -> dict[str, Any]:
    """Return an operation as ``activity`` reads it."""
    found = {"flow": "f", "method": "m", "resource": "volume v", "state": "RUNNING", "slot": SLOT}
    found["waits_for"] = None
    return {**found, "task": "copy", "progress": 0.5, "age_s": 90061, "interruptions": 2, **more}


def screen(
    operations: list[dict[str, Any]],
    rows: int = 40,
    waiting_for: dict[str, int] | None = None,
) -> list[str]:
    found = {"at": "2026-01-01 00:00:00", "running": 1, "waiting": 0, "failed_last_hour": 3}
    services = [
        {"binary": "cinder-volume", "host": "h@b", "state": "down", "disabled": True},
        {"binary": "cinder-backup", "host": "h", "state": "up", "disabled": False},
    ]
    found |= {"services": services, "operations": operations, "waiting_for": waiting_for or {}}
    return list(top_command.lines(found, Colour(io.StringIO()), 120, rows))


def test_an_operation_that_runs_has_its_task(holdfast: Shell, journal: Journal) -> None:
    flow = running(journal, str(uuid.uuid4()))
    detail = journal.load(flow)
    journal.count_interruption(detail)
    found = holdfast("top", "-f", "json").rows
    ours = next(one for one in found["operations"] if one["flow"] == flow)
    page = holdfast("top").out

    assert (ours["state"], ours["task"]) == (states.RUNNING, "allocate")
    assert found["running"] >= 1
    assert flow[:8] in page


def test_the_limit_of_a_backend_is_that_of_its_slots(holdfast: Shell) -> None:
    assert backends.operations_max(holdfast.conf, "local") == 0
    threads = holdfast.conf.executor_thread_pool_size
    holdfast.conf.set_override("operations_max", 3, group="local")
    found = [activity.places(holdfast.conf, slot) for slot in ("cli@local/0", "cli/0", "x@y/0")]
    holdfast.conf.clear_override("operations_max", group="local")

    assert found == [3, threads, threads]


def test_a_screen_names_services_that_are_down() -> None:
    head, services, _empty, columns, row = screen([operation()])

    assert head == ("2026-01-01 00:00:00 UTC   1 running, 0 waiting, 3 failed in the last hour")
    assert services == "services: 1 up, 1 of all disabled, 1 down: cinder-volume h@b"
    assert columns.startswith("Flow      Method")
    assert row.split() == ["f", "m", "volume", "v", "RUNNING", "copy", "50%", "1d", "01:01", "2"]


def test_a_screen_is_as_large_as_the_terminal() -> None:
    found = screen([operation(method="m" * 300) for _ in range(100)], rows=20)

    assert len(found) == 19
    assert found[-1] == "and 86 more"
    assert max(map(len, found)) <= 120


def test_an_operation_that_waits_has_the_reason() -> None:
    waits = operation(state="PENDING", task=None, progress=None, waits_for="project")
    head, *_others, row = screen([waits], waiting_for={"turn": 0, "project": 4000, "thread": 2})

    assert "0 waiting (4000 for project, 2 for thread), 3 failed" in head
    assert "(project)" in row


def test_nothing_to_do_is_said() -> None:
    assert screen([])[-1] == "no operation runs or waits"


@pytest.mark.parametrize("text", ["0", "-1", "soon", "1e9", "nan"])
def test_an_interval_is_a_number_of_seconds(holdfast: Shell, text: str) -> None:
    with pytest.raises(SystemExit) as caught:
        holdfast("top", "--interval", text)

    assert caught.value.code == 2
