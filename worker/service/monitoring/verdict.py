# SPDX-License-Identifier: Apache-2.0
"""Verdict on a service from the snapshots of its processes: alive, ready, and why not."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

ProbeKind = Literal["alive", "ready"]
PublishedState = Mapping[str, Any]

SILENT = 30.0
"""Seconds without a snapshot after which a process is not alive; they are written every second."""

STALE = 5.0
"""Seconds without a snapshot after which a process is not ready."""

START = 60.0
"""Seconds that a process has, at most, for its first snapshot."""


@dataclass(frozen=True)
class Verdict:
    """The result of a probe.

    :param checks: of each process, by name: why a check fails, or "".
    """

    kind: ProbeKind
    checks: Mapping[str, Mapping[str, str]]

    @property
    def reasons(self) -> list[str]:
        """Each check that fails, with its process and its reason."""
        return [
            f"{process}: {name}: {reason}"
            for process, found in self.checks.items()
            for name, reason in found.items()
            if reason
        ]

    @property
    def passed(self) -> bool:
        """Whether no check fails."""
        return not self.reasons

    def shown(self, *, details: bool = True) -> dict[str, Any]:
        """Return the verdict for JSON.

        :param details: whether the asking side may see reasons.
        """
        answer: dict[str, Any] = {self.kind: self.passed}
        if details:
            answer |= {"reasons": self.reasons, "processes": self.checks}
        return answer


def verdict(
    kind: ProbeKind,
    snapshots: Sequence[PublishedState | None],
    started: float,
    now: float | None = None,
) -> Verdict:
    """Judge all processes of a service.

    :param started: when the supervisor started, in monotonic seconds.
    """
    now = time.monotonic() if now is None else now
    checks = {
        _name(number, snapshot): _checks(kind, snapshot, started, now)
        for number, snapshot in enumerate(snapshots)
    }
    return Verdict(kind, checks)


def age(snapshot: PublishedState, now: float) -> float:
    """Return the seconds since a snapshot was taken."""
    return max(0.0, now - float(snapshot["at"]))


def _name(number: int, snapshot: PublishedState | None) -> str:
    return str(snapshot.get("slot") if snapshot else None or "") or f"process {number}"


def _checks(
    kind: ProbeKind, snapshot: PublishedState | None, started: float, now: float
) -> dict[str, str]:
    if snapshot is None:
        late = kind == "ready" or now - started > START
        return {"process": "it has not started yet" if late else ""}
    silent = age(snapshot, now)
    limit = SILENT if kind == "alive" else STALE
    gone = f"no sign of life for {silent:.0f} s" if silent > limit else ""
    return {"process": gone, **snapshot[kind]}
