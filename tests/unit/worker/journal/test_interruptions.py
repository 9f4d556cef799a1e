# SPDX-License-Identifier: Apache-2.0
"""An interruption counts where the process died inside a step, without progress."""

from __future__ import annotations

from typing import Any

import pytest
from taskflow import states
from taskflow.persistence.models import FlowDetail, TaskDetail

from worker.journal import interruptions


def entry(state: str, *atoms: str | tuple[str, dict[str, Any]], **meta: Any) -> FlowDetail:
    """Return an entry with the states, and the meta, of its tasks."""
    detail = FlowDetail("flow", "flow")
    detail.state, detail.meta = state, {"resumes": 0, **meta}
    for number, atom in enumerate(atoms):
        task = TaskDetail(f"t{number}", f"t{number}")
        task.state, task.meta = atom if isinstance(atom, tuple) else (atom, {})
        detail.add(task)
    return detail


def at(**meta: Any) -> tuple[str, dict[str, Any]]:
    """Return a task that runs, with its progress."""
    return states.RUNNING, meta


def resumed(detail: FlowDetail, group_size: int = 1) -> None:
    """Note a resume, as the journal does."""
    found = interruptions.of(detail)
    detail.meta = interruptions.noted(detail, found, group_size, found.reverts)
    detail.state = states.RUNNING


@pytest.mark.parametrize(
    ("detail", "count"),
    [
        pytest.param(entry(states.PENDING), 0, id="accepted, and perhaps in its first step"),
        pytest.param(entry(states.RUNNING), 1, id="in its first step, after a resume"),
        pytest.param(entry(states.RUNNING, states.SUCCESS, at()), 1, id="in a later step"),
        pytest.param(entry(states.RUNNING, states.SUCCESS), 0, id="between two steps"),
        pytest.param(entry(states.RUNNING, states.REVERTING), 1, id="in a revert"),
        pytest.param(entry(states.SUSPENDED, states.SUCCESS), 0, id="suspended"),
        pytest.param(entry(states.SUSPENDED, at()), 0, id="left by a stop in order"),
        pytest.param(entry(states.PENDING, resumes=2), 2, id="what was counted before stays"),
    ],
)
def test_only_a_death_inside_a_step_counts(detail: FlowDetail, count: int) -> None:
    assert interruptions.of(detail).count == count


@pytest.mark.parametrize(
    ("before", "after", "count"),
    [
        pytest.param(at(), at(), 11, id="none"),
        pytest.param(at(), states.SUCCESS, 1, id="the step ended"),
        pytest.param(at(saved=0.1), at(saved=0.2), 1, id="a checkpoint"),
        pytest.param(at(saved=0.2), at(saved=0.2, progress=0.9), 11, id="none since a checkpoint"),
        pytest.param(at(saved=0.2), at(saved=0.1), 11, id="a checkpoint that was lost"),
        pytest.param(at(progress=0.9), at(saved=0.1), 1, id="the first checkpoint"),
        pytest.param(at(progress=0.1), at(progress=0.2), 1, id="a copy without checkpoints"),
        pytest.param(at(progress=0.2), at(progress=0.1), 11, id="a copy that began anew"),
        pytest.param(states.REVERTING, states.REVERTED, 1, id="a revert"),
        pytest.param(states.REVERTING, states.REVERTING, 11, id="the same revert again"),
    ],
)
def test_progress_resets_the_count(before: Any, after: Any, count: int) -> None:
    detail = entry(states.RUNNING, before)
    for _ in range(10):
        resumed(detail)
    atoms = [after] if isinstance(after, tuple) else [after, at()]
    found = interruptions.of(entry(states.RUNNING, *atoms, **detail.meta))

    assert found.count == count
    assert found.is_suspect(3) is (count > 1)


def test_losses_of_hosts_count_when_there_are_more_than_max_resumes() -> None:
    detail = entry(interruptions.LOST, at())
    seen = []
    for _ in range(5):
        found = interruptions.of(detail)
        seen.append((found.counted(3), found.is_suspect(3), found.is_exhausted(3)))
        resumed(detail)
        detail.state = interruptions.LOST

    assert seen == [
        *[(0, False, False)] * 3,
        (4, True, True),
        (5, True, True),
    ]
    progressed = entry(interruptions.LOST, at(progress=0.5), **detail.meta)
    assert interruptions.of(progressed).counted(3) == 0


def test_a_loss_decides_nothing_about_an_operation_that_had_crashed_before() -> None:
    detail = entry(states.RUNNING, at(), resumes=3, reached=[0, 0.0, 0.0], company=1)
    detail.state = interruptions.LOST
    lost = interruptions.of(detail)
    resumed(detail)

    assert (lost.count, lost.is_exhausted(3), lost.is_suspect(3)) == (3, False, True)
    assert interruptions.of(detail).is_exhausted(3)


def test_losses_during_reverts_have_a_count_of_their_own() -> None:
    detail = entry(interruptions.LOST, states.REVERTING, resumes=1, losses=3)
    seen = []
    for _ in range(5):
        found = interruptions.of(detail)
        seen.append((found.of_reverts(3), found.has_exhausted_reverts(3)))
        detail.meta = interruptions.noted(detail, found, 1, found.reverts or 0)

    assert seen[1:] == [*[(0, False)] * 3, (4, True)]
    assert not seen[0][1]
    assert detail.meta["resumes"] == 5


def test_what_was_reached_is_never_less() -> None:
    detail = entry(states.RUNNING, at(progress=0.5))
    resumed(detail)
    for fraction in (0.2, 0.4, 0.3):
        detail = entry(states.RUNNING, at(progress=fraction), **detail.meta)
        resumed(detail)

    assert interruptions.of(detail).count == 5


def test_reverts_have_a_count_of_their_own() -> None:
    detail = entry(states.RUNNING, states.REVERTING, at(), resumes=2)
    counts = []
    for _ in range(4):
        counts.append(interruptions.of(detail).reverts)
        resumed(detail)

    assert counts == [0, 1, 2, 3]
    assert interruptions.of(detail).has_exhausted_reverts(3)
    progressed = entry(states.RUNNING, states.REVERTED, states.REVERTING, **detail.meta)
    assert interruptions.of(progressed).reverts == 1


def test_a_bug_in_a_step_counts_always_and_alone() -> None:
    found = interruptions.of(entry(states.PENDING, resumes=3, group_size=9), inside=True)

    assert found.is_exhausted(3)
