# SPDX-License-Identifier: Apache-2.0
"""Count the interruptions of an operation, from its entry in the journal.

An interruption is the death of the process while the operation was inside a step. These do
not count:

- an orderly stop: it leaves the entries of its slot ``SUSPENDED``;
- the wait of an accepted operation for its begin, or for its resume: ``PENDING``, or no step
  running. The journal does not note the begin of the first step. So an operation that never
  got further counts from its first resume on, which does note that it was attempted;
- all interruptions before the last progress: a step that ended, or a checkpoint that advanced.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from taskflow import states
from taskflow.persistence.models import FlowDetail

NOTES = ("reached", "company", "reverts")
"""Keys of an entry's meta that are about its interruptions, besides their number."""

_NOT_INSIDE = (states.PENDING, states.SUSPENDED)
_UNDER_WAY = (states.RUNNING, states.REVERTING)
_REVERTING = (states.REVERTING, states.REVERTED, states.REVERT_FAILURE)
_ENDS = {
    states.SUCCESS: 1,
    states.FAILURE: 1,
    states.REVERTING: 1,
    states.REVERTED: 2,
    states.REVERT_FAILURE: 2,
}
"""How often a task in this state has ended: once executed, and once reverted."""


@dataclass(frozen=True)
class Interruption:
    """The state of an operation that is to be resumed.

    :param count: interruptions since its last progress, the present one included.
    :param reached: its progress: ends of tasks, checkpoint and fraction of the present task.
    :param group_size: how many operations were resumed together with it the last time, itself
        included; 0 for one that was never resumed.
    :param suspect: whether it was interrupted again after it had been resumed.
    :param reverts: interruptions since its reverts were begun or decided on; None before.
    :param in_one_count: whether an earlier version counted those of its reverts as well.
    """

    count: int
    reached: list[float]
    group_size: int = 0
    suspect: bool = False
    reverts: int | None = None
    in_one_count: bool = False

    def is_exhausted(self, most: int) -> bool:
        """Whether it is to be reverted: it was interrupted too often, and alone in the end.

        One that was resumed in a group is resumed in a smaller one, since another operation may
        be the cause.
        """
        return self.count > most and self.group_size <= 1

    def has_exhausted_reverts(self, most: int) -> bool:
        """Whether its reverts continue without the driver."""
        return self.of_reverts(most) > most and self.group_size <= 1

    def of_reverts(self, most: int) -> int:
        """Return how often its reverts were interrupted."""
        if self.in_one_count:
            return self.count - most - 1
        return self.reverts or 0


def of(detail: FlowDetail, *, inside: bool | None = None) -> Interruption:
    """Judge an entry before its resume.

    :param inside: whether it was interrupted inside a step, where that is known from elsewhere;
        it was alone then.
    """
    meta, reached = detail.meta, _reached(detail)
    advanced = "reached" in meta and reached > list(meta["reached"])
    counted = int(_was_inside(detail) if inside is None else inside)
    before = 0 if advanced else int(meta.get("resumes", 0))
    reverts: int | None = 0 if any(atom.state in _REVERTING for atom in detail) else None
    if meta.get("reverts") is not None:
        reverts = (0 if advanced else int(meta["reverts"])) + counted
    return Interruption(
        count=before + counted,
        reached=max(reached, list(meta.get("reached", ()))),
        group_size=int(meta.get("company", 0)) if inside is None else 0,
        suspect=bool(counted) and "company" in meta and not advanced,
        reverts=reverts,
        in_one_count="reached" not in meta,
    )


def noted(
    detail: FlowDetail, found: Interruption, group_size: int, reverts: int | None
) -> dict[str, Any]:
    """Return the meta of an entry at its resume."""
    about = {"reached": found.reached, "company": group_size}
    if reverts is not None:
        about["reverts"] = reverts
    return {**detail.meta, "resumes": found.count, **about}


def _was_inside(detail: FlowDetail) -> bool:
    if detail.state in _NOT_INSIDE:
        return False
    atoms: Collection[Any] = list(detail)
    begun = [atom for atom in atoms if atom.state != states.PENDING]
    return not begun or any(atom.state in _UNDER_WAY for atom in begun)


def _reached(detail: FlowDetail) -> list[float]:
    """Return a value that grows with each progress of an operation.

    A driver that has checkpoints is judged by them: the next attempt continues there.
    """
    ends, saved, fraction = 0, 0.0, 0.0
    for atom in detail:
        ends += _ENDS.get(atom.state, 0)
        if atom.state == states.RUNNING:
            saved = float(atom.meta.get("saved", 0.0))
            fraction = 0.0 if "saved" in atom.meta else float(atom.meta.get("progress", 0.0))
    return [ends, saved, fraction]
