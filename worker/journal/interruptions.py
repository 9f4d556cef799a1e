# SPDX-License-Identifier: Apache-2.0
"""Count the interruptions of an operation, from its entry in the journal.

An interruption is the death of the process while the operation was inside a step. These do
not count:

- an orderly stop: it leaves the entries of its slot ``SUSPENDED``;
- the wait of an accepted operation for its begin, or for its resume: ``PENDING``, or no step
  running. The journal does not note the begin of the first step. So an operation that never
  got further counts from its first resume on, which does note that it was attempted;
- all interruptions before the last progress: a step that ended, or a checkpoint that advanced.

The loss of a host leaves the entries that another host adopts ``RESUMING``. It says nothing
about the operations, and ``max_resumes`` of them in a row are not counted. An operation that
was inside a step at more of them may be the cause of each, so then they all count.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from taskflow import states
from taskflow.persistence.models import FlowDetail

NOTES = ("reached", "company", "reverts", "losses")
"""Keys of an entry's meta that are about its interruptions, besides their number."""

LOST = states.RESUMING
"""State of an entry whose host was lost; the entries of running flows never have it."""

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

    :param count: interruptions since its last progress, the present one included, without the
        losses of hosts.
    :param reached: its progress: ends of tasks, checkpoint and fraction of the present task.
    :param group_size: how many operations were resumed together with it the last time, itself
        included; 0 for one that was never resumed.
    :param again: whether it was interrupted again after it had been resumed.
    :param reverts: interruptions since its reverts were begun or decided on; None before.
    :param in_one_count: whether an earlier version counted those of its reverts as well.
    :param losses: losses of its hosts since its last progress, and since its reverts were decided
        on, the present one included.
    :param lost: whether the present interruption is the loss of a host.
    """

    count: int
    reached: list[float]
    group_size: int = 0
    again: bool = False
    reverts: int | None = None
    in_one_count: bool = False
    losses: int = 0
    lost: bool = False

    def counted(self, most: int) -> int:
        """Return the number of interruptions that count: with losses if they are too many."""
        return self.count + self._counted_losses(most)

    def is_suspect(self, most: int) -> bool:
        """Whether it may be the cause of the interruptions, so that a small group resumes it.

        A loss clears no suspect of interruptions before it.
        """
        return self.again and (not self.lost or self.count > 1 or self.losses > most)

    def is_exhausted(self, most: int) -> bool:
        """Whether it is to be reverted: it was interrupted too often, and alone in the end.

        One that was resumed in a group is resumed in a smaller one, since another operation may
        be the cause.
        """
        return self._may_be_cause(most) and self.counted(most) > most

    def has_exhausted_reverts(self, most: int) -> bool:
        """Whether its reverts continue without the driver."""
        if self.reverts is None and not self.in_one_count:
            return False
        return self._may_be_cause(most) and self.of_reverts(most) > most

    def of_reverts(self, most: int) -> int:
        """Return how often its reverts were interrupted."""
        if self.in_one_count:
            return self.count - most - 1
        return 0 if self.reverts is None else self.reverts + self._counted_losses(most)

    def _may_be_cause(self, most: int) -> bool:
        """Whether the present interruption counts, and no other operation ran beside it."""
        return self.group_size <= 1 and (not self.lost or self.losses > most)

    def _counted_losses(self, most: int) -> int:
        return self.losses if self.losses > most else 0


def of(detail: FlowDetail, *, inside: bool | None = None) -> Interruption:
    """Judge an entry before its resume.

    :param inside: whether it was interrupted inside a step, where that is known from elsewhere;
        it was alone then.
    """
    meta, reached = detail.meta, _reached(detail)
    advanced = "reached" in meta and reached > list(meta["reached"])
    interrupted = _was_inside(detail) if inside is None else inside
    lost = bool(interrupted) and inside is None and detail.state == LOST
    counted = int(interrupted and not lost)
    before = 0 if advanced else int(meta.get("resumes", 0))
    losses = 0 if advanced else int(meta.get("losses", 0))
    reverts: int | None = 0 if any(atom.state in _REVERTING for atom in detail) else None
    if meta.get("reverts") is not None:
        reverts = (0 if advanced else int(meta["reverts"])) + counted
    return Interruption(
        count=before + counted,
        reached=max(reached, list(meta.get("reached", ()))),
        group_size=int(meta.get("company", 0)) if inside is None else 0,
        again=interrupted and "company" in meta and not advanced,
        reverts=reverts,
        in_one_count="reached" not in meta,
        losses=losses + int(lost),
        lost=lost,
    )


def noted(
    detail: FlowDetail, found: Interruption, group_size: int, reverts: int | None
) -> dict[str, Any]:
    """Return the meta of an entry at its resume."""
    about: dict[str, Any] = {"reached": found.reached, "company": group_size}
    count, losses = found.count, found.losses
    if reverts is not None:
        about["reverts"] = reverts
        if detail.meta.get("reverts") is None:  # losses of its reverts have a count of their own
            count, losses = count + losses, 0
    if losses or "losses" in detail.meta:
        about["losses"] = losses
    return {**detail.meta, "resumes": count, **about}


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
