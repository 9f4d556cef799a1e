# SPDX-License-Identifier: Apache-2.0
"""Judge the end of an operation that met a fault, and count the verdicts of each axis.

=====================  ==============================================================
verdict                the operation
=====================  ==============================================================
``survived``           ended as one that met no fault
``missed``             ended before its point; it does not count
``lost``               is not in the journal, and did not run
``stuck``              did not end, or the service did not start or stop
``leaked``             left something besides: files, quota, work rows, exports
``destroyed``          has no data where there was some, or ran a second time over it
``undone_by_restart``  left another status than without the fault
=====================  ==============================================================

The same words are used by each axis; the first of them that applies.
"""

from __future__ import annotations

import collections
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.faults.kill.cases.case import Case
from tests.faults.kill.course import Way

VIOLATIONS = ("lost", "stuck", "leaked", "destroyed", "undone_by_restart")

_GOOD = ("survived", "missed")

_LISTENER = ("received#0", "journalled#0", "acknowledged#0")
"""Points of a cast at which a thread stands that brings the others: one at a time."""

_ROWS = ("volume ", "snapshot ", "backup ", "group ", "group_snapshot ", "consistencygroup ")
_ROWS += ("cgsnapshot ", "attachment ", "replication of ", "image")


@dataclass(frozen=True)
class Strike:
    """A fault at one point of an operation.

    :param then: for kills, the number of points after the restart until a second one.
    :param how: the kind of the fault, where its axis has several.
    """

    way: Way
    point: str
    axis: str = "kill"
    then: int | None = None
    how: str = ""

    @property
    def in_listener(self) -> bool:
        """Whether it stops a thread that brings messages."""
        return not self.way.case.call and self.point in _LISTENER

    @property
    def unheard(self) -> bool:
        """Whether it is a call that the journal does not have at its point."""
        return self.way.case.call and self.point == "received#0"

    @property
    def faults(self) -> int:
        """How many faults the operation meets."""
        return 1 if self.then is None else 2

    @property
    def shown(self) -> str:
        """Its axis, way and point."""
        then = "" if self.then is None else f" and {self.then} points after the restart"
        how = f" ({self.how})" if self.how else ""
        return f"{self.axis}{how}: {self.way.name} at {self.point}{then}"

    def to_json(self) -> str:
        """Return the argument of ``--replay``."""
        way = self.way
        own = [self.axis, way.case.name, way.broken_step, way.broken_call]
        return json.dumps([*own, self.point, self.then, self.how])

    @classmethod
    def from_json(cls, text: str, cases: list[Case]) -> Strike | None:
        """Read it back; None if its case is not among these."""
        axis, name, step, call, point, then, how = json.loads(text)
        case = next((case for case in cases if case.name == name), None)
        return None if case is None else cls(Way(case, step, call), point, axis, then, how)


@dataclass
class Verdict:
    """The end of one operation.

    :param what: a word of the module's table.
    :param left: the points that it passed after the last restart.
    """

    strike: Strike
    what: str
    told: str = ""
    left: int = 0

    @property
    def is_bad(self) -> bool:
        """Whether it is a violation."""
        return self.what not in _GOOD

    def shown(self) -> str:
        """Return all that is needed to look into it."""
        return (
            f"{self.what.upper()}: {self.strike.shown}\n  {self.told}\n"
            f"  again: python -m tests.faults --replay '{self.strike.to_json()}'"
        )


@dataclass
class Tally:
    """All verdicts so far."""

    verdicts: list[Verdict] = field(default_factory=list)

    def bad(self) -> list[Verdict]:
        """Return the violations."""
        return [v for v in self.verdicts if v.is_bad]

    def figures(self, axis: str = "") -> dict[str, int]:
        """Return the figures of an axis, or of all."""
        some = [v for v in self.verdicts if axis in ("", v.strike.axis)]
        count = collections.Counter(v.what for v in some)
        points = sum(v.strike.faults for v in some if v.what != "missed")
        return {"points": points, **{what: count[what] for what in VIOLATIONS}}

    @property
    def axes(self) -> list[str]:
        """The axes that have verdicts."""
        return list(dict.fromkeys(v.strike.axis for v in self.verdicts))

    @property
    def missed(self) -> int:
        """How many ended before their fault came; they do not count."""
        return sum(v.what == "missed" for v in self.verdicts)

    def table(self) -> Iterator[str]:
        """Yield lines: operation and axis, how many points it met there, and survived."""
        runs: collections.Counter[tuple[str, str]] = collections.Counter()
        good: collections.Counter[tuple[str, str]] = collections.Counter()
        for verdict in self.verdicts:
            key = (verdict.strike.way.case.name, verdict.strike.axis)
            runs[key] += verdict.what != "missed"
            good[key] += verdict.what == "survived"
        yield f"{'operation':<44}{'axis':<12}{'runs':>6}{'survived':>10}"
        before = ""
        for (name, axis), count in sorted(runs.items()):
            shown = "" if name == before else name
            before = name
            yield f"{shown:<44}{axis:<12}{count:>6}{good[name, axis]:>10}"


def kind_of(
    wanted: dict[str, Any], before: dict[str, Any], facts: dict[str, Any]
) -> tuple[str, list[str]]:
    """Return the violation that facts are, and how they differ from those that are wanted.

    :param before: the facts before the operation.
    """
    names = sorted(wanted.keys() | facts.keys())
    differences = [
        f"{name}: {facts.get(name)}, expected {wanted.get(name)}"
        for name in names
        if wanted.get(name) != facts.get(name)
    ]
    rows = [name for name in wanted if name.startswith(_ROWS) and wanted[name] != facts.get(name)]
    missing = data_of(wanted) - data_of(facts)
    if missing & data_of(before):
        return "destroyed", differences
    if rows:
        return "undone_by_restart", differences
    return "destroyed" if missing else "leaked", differences


def data_of(facts: dict[str, Any]) -> set[str]:
    """Return the files of volumes, snapshots and backups, without exports."""
    found = {line for line in facts["files"] if " for " not in line}
    for name, stored in facts.items():
        if name.startswith("stored "):
            count, extra = stored
            found |= {f"{name} {number}" for number in range(count)}
            found |= {f"{name} {end}" for end in extra}
    return found
