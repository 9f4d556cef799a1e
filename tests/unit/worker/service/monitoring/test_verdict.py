# SPDX-License-Identifier: Apache-2.0
"""The verdict on a service: each process counts, and so does its silence."""

from __future__ import annotations

from typing import Any

import pytest

from worker.service.monitoring.verdict import SILENT, STALE, START, verdict

NOW = 1000.0


def snapshot(number: int = 0, *, age: float = 0.0, **checks: Any) -> dict[str, Any]:
    """Return the snapshot of a process."""
    found = {"alive": {}, "ready": {"driver": ""}, **checks}
    return {"at": NOW - age, "slot": f"h@b/{number}", **found}


def test_a_service_whose_checks_pass_is_alive_and_ready() -> None:
    for kind in ("alive", "ready"):
        assert verdict(kind, [snapshot(0), snapshot(1)], NOW - 100, NOW).passed


def test_a_check_of_one_process_fails_the_service_with_its_reason() -> None:
    failing = snapshot(1, ready={"driver": "no array", "bus": ""})
    found = verdict("ready", [snapshot(0), failing], NOW - 100, NOW)

    assert not found.passed
    assert found.reasons == ["h@b/1: driver: no array"]
    assert found.shown()["reasons"] == found.reasons
    assert found.shown(details=False) == {"ready": False}
    assert verdict("alive", [snapshot(0), failing], NOW - 100, NOW).passed


@pytest.mark.parametrize(
    ("kind", "age", "passed"),
    [
        ("ready", STALE - 1, True),
        ("ready", STALE + 1, False),
        ("alive", STALE + 1, True),
        ("alive", SILENT + 1, False),
    ],
)
def test_a_silent_process_is_soon_not_ready_and_later_not_alive(
    kind: Any, age: float, passed: bool
) -> None:
    found = verdict(kind, [snapshot(0), snapshot(1, age=age)], NOW - 100, NOW)

    assert found.passed is passed
    if not passed:
        assert found.reasons == [f"h@b/1: process: no sign of life for {age:.0f} s"]


@pytest.mark.parametrize(
    ("kind", "since", "passed"),
    [("alive", START - 1, True), ("alive", START + 1, False), ("ready", 1.0, False)],
)
def test_a_process_has_time_for_its_start(kind: Any, since: float, passed: bool) -> None:
    found = verdict(kind, [snapshot(0), None], NOW - since, NOW)

    assert found.passed is passed
    assert passed or found.reasons == ["process 1: process: it has not started yet"]
