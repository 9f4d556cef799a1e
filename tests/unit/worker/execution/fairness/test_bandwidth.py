# SPDX-License-Identifier: Apache-2.0
"""Transfers wait until their bytes are paid for: by project, and all together."""

from __future__ import annotations

import pytest
from oslo_utils import units

from worker.execution.fairness import bandwidth
from worker.execution.fairness.bandwidth import Bandwidth
from worker.execution.fairness.project_limits import ProjectLimits
from worker.metrics.definitions import THROTTLED
from worker.metrics.measurements import MEASURED

MIB = units.Mi


class Clock:
    """Time that passes when a test says so."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(bandwidth, "time", found)
    return found


def of(projects: dict[str, int], backend: int = 0) -> Bandwidth:
    return Bandwidth(ProjectLimits(bandwidth=lambda: projects), lambda: backend * MIB)


def test_nothing_waits_without_limits(clock: Clock) -> None:
    assert of({}).wait("a", 1000 * MIB) == 0


def test_the_bytes_of_a_project_are_paid_for_together(clock: Clock) -> None:
    limits = of({"a": 10})
    assert limits.wait("a", 5 * MIB) == pytest.approx(0.5)
    assert limits.wait("a", 5 * MIB) == pytest.approx(1.0)  # another transfer of it
    assert limits.wait("b", 5 * MIB) == 0
    clock.now += 0.75
    assert limits.wait("a", 10 * MIB) == pytest.approx(1.25)
    clock.now += 100  # an idle time is no credit
    assert limits.wait("a", 10 * MIB) == pytest.approx(1.0)


def test_every_project_that_is_not_named_has_a_limit_of_its_own(clock: Clock) -> None:
    limits = of({"*": 10, "free": 0})
    assert limits.wait("a", 10 * MIB) == pytest.approx(1.0)
    assert limits.wait("b", 10 * MIB) == pytest.approx(1.0)
    assert limits.wait("free", 10 * MIB) == 0


def test_the_longer_wait_of_project_and_backend_counts(clock: Clock) -> None:
    def throttled() -> dict[str, float]:
        return {labels[0]: value for labels, value in MEASURED.series().get(THROTTLED.name, [])}

    before = throttled()
    limits = of({"a": 10}, backend=20)
    assert limits.wait("a", 20 * MIB) == pytest.approx(2.0)
    assert limits.wait("b", 20 * MIB) == pytest.approx(2.0)  # behind the bytes of the other one

    after = throttled()
    assert after["project"] - before.get("project", 0) == pytest.approx(2.0)
    assert after["backend"] - before.get("backend", 0) == pytest.approx(2.0)


def test_limits_that_are_paid_for_are_forgotten(clock: Clock) -> None:
    limits = of({"*": 10})
    for number in range(bandwidth._MANY):
        limits.wait(f"p{number}", MIB)
    clock.now += 1
    limits.wait("one more", MIB)

    assert len(limits._free_at) == 1
