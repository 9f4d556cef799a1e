# SPDX-License-Identifier: Apache-2.0
"""Put the journal back to each earlier state of an operation that has ended, and start.

A power cut takes the last writes of the journal away, a copy of the journal or of its
machine any number. The operation has ended, and a user has written to its volume: nothing
of that may change. States are recorded at each write of the journal, so that every one that
a power cut or a copy can bring back is tried.

The axis stands beside that of the kills, and others can be added: each has *points*, and a
verdict for each point.
"""

from __future__ import annotations

import collections
import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.faults.kill import entries
from tests.faults.kill.campaign import Campaign, Way
from tests.faults.kill.case import Asked

OUTCOMES = ("lost", "stuck", "leaked", "destroyed", "undone_by_restart")
"""Violations, the first one that applies: no end; no end in time; remains; data; statuses."""

_QUESTIONS = ("get_backup_device", "backup_use_temp_snapshot", "secure_file_operations_enabled")
"""Calls that change nothing, of an operation whose resource stays in its status at the end."""

_WRITTEN = b"written by a user %s"


@dataclass(frozen=True)
class State:
    """One state of the journal to which an ended operation is put back."""

    way: Way
    number: int

    @property
    def name(self) -> str:
        """The way and the number of the state."""
        return f"{self.way.name}, journal put back to state {self.number}"


@dataclass
class Result:
    """What a restart did to an ended operation; ``kept`` is as it should be."""

    state: State
    what: str
    told: str = ""

    def shown(self) -> str:
        """Return all that is needed to look into it."""
        return f"{self.what.upper()}: {self.state.name}\n  {self.told}"


@dataclass
class Figures:
    """All results so far."""

    results: list[Result] = field(default_factory=list)

    def bad(self) -> list[Result]:
        """Return the violations."""
        return [one for one in self.results if one.what != "kept"]

    def counts(self) -> dict[str, int]:
        """Return the number of points, and of each violation."""
        found = collections.Counter(one.what for one in self.results)
        return {"points": len(self.results), **{what: found[what] for what in OUTCOMES}}


class PutBack:
    """The axis over one world.

    :param campaign: that of the kills; it knows the ways, and sends their messages.
    """

    def __init__(self, campaign: Campaign) -> None:
        self._campaign = campaign
        self._world = campaign.world
        self.figures = Figures()

    def states(self) -> list[State]:
        """Return a state for each write of the journal but the last, of each way."""
        return [
            State(way, number)
            for way, known in self._campaign.known.items()
            for number in range(max(0, known.states - 1))
        ]

    def run(self, states: Iterable[State], chance: random.Random, batch: int) -> None:
        """Try states, many with one start."""
        everything = list(states)
        chance.shuffle(everything)
        for start in range(0, len(everything), batch):
            self._try(everything[start : start + batch])

    def _try(self, states: Sequence[State]) -> None:
        world, asked = self._world, self._campaign.end([state.way for state in states])
        both = list(zip(states, asked, strict=True))
        world.kill(family=False)
        for state, one in both:
            recorded = world.states(one.resource)
            chosen = recorded[min(state.number, len(recorded) - 1)]
            entries.put_back(world.journal_path, json.loads(chosen))
        for _state, one in both:
            self._write_as_a_user(one)
        before = {one.resource: world.facts(one.project, one.roles) for one in asked}
        world.start()
        late = self._campaign.late({one.resource for one in asked})
        for state, one in both:
            self.figures.results.append(self._judge(state, one, before[one.resource], late))
        world.clear()

    def _write_as_a_user(self, one: Asked) -> None:
        for path in self._world.written_by_users(one.roles):
            with path.open("r+b") as file:
                file.write(_WRITTEN % one.resource.encode())

    def _judge(self, state: State, one: Asked, before: dict[str, Any], late: set[str]) -> Result:
        if one.resource in late:
            found = self._world.journal().get(one.resource)
            return Result(state, "lost" if found is None else "stuck", f"the journal: {found}")
        facts = self._campaign.settled(one, [before])
        if state.way.case.undone and _data_of(facts) == _data_of(before):
            return Result(state, "kept")  # a call whose caller is gone may be undone once more
        lines = [
            f"{name}: {facts.get(name)}, expected {before.get(name)}"
            for name in sorted(before.keys() | facts.keys())
            if before.get(name) != facts.get(name)
        ]
        calls = [] if state.way.case.call else self._calls(one)
        if not lines and not calls:
            return Result(state, "kept")
        told = self._campaign.told(one, "\n  ".join([*lines, *calls]))
        return Result(state, _kind_of(before, facts), told)

    def _calls(self, one: Asked) -> list[str]:
        """Return the calls of the driver since the start; of an ended operation there are none."""
        points = [point.partition("#")[0] for point in self._world.passed(one.resource)]
        asked = {f"before driver.{name}" for name in _QUESTIONS}
        return [one for one in points if one.startswith("before driver.") and one not in asked]


def _data_of(facts: dict[str, Any]) -> list[str]:
    """Return the files of volumes and snapshots, without exports."""
    return [line for line in facts["files"] if " for " not in line]


def _kind_of(before: dict[str, Any], facts: dict[str, Any]) -> str:
    """Return which violation it is; a driver that was called might have destroyed data."""
    changed = {name for name in before.keys() | facts.keys() if before.get(name) != facts.get(name)}
    if "files" in changed and set(before["files"]) < set(facts["files"]):
        return "leaked"
    if "files" in changed or not changed:
        return "destroyed"
    return "undone_by_restart"
