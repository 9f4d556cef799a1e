# SPDX-License-Identifier: Apache-2.0
"""Killed at any moment, a flow that is resumed ends as it should, and so does one that is not.

Each cast is killed before and after each of its effects, undisturbed and with each
of the driver's methods failing; a resumed flow is read back from JSON.

A plain run leaves out the failing methods where the journal writes at once, and three
quarters of the pairs of kills. With a failing method it strikes at each moment in one of two
tests: a flow that was killed is resumed, or it is reverted. An outage of the database strikes
at those of the first.
"""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from drivers.interface.errors import VolumeBackendAPIException
from flows.engine.flow_run import Outcome
from flows.errors import Unavailable
from tests.length import FULL
from tests.unit.flows.every_cast.cases import CASES, Case, assert_settled, effects_of
from tests.unit.flows.world.doubles import Killed
from tests.unit.flows.world.world import World

BY_NAME = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
_METHODS: dict[str, list[str]] = {}
_ENDS: dict[str, dict[str, Any]] = {}

JOURNALS = pytest.mark.parametrize("gathers", [True, False], ids=["gathering", "at-once"])


@dataclass
class Try:
    """One world, with a blow to come."""

    case: Case
    world: World
    broken: str
    args: dict[str, Any] = field(default_factory=dict)

    def run(self, *, resumed: bool = False, revert: bool = False) -> Outcome | None:
        """Return the outcome; None when the blow was deadly."""
        try:
            return self.world.run(self.case.factory, resumed=resumed, revert=revert, **self.args)
        except Killed:
            self.world.revive()
            return None


def tries(
    case: Case,
    directory: Path,
    gathers: bool = True,
    error: type[BaseException] = Killed,
    half: int = 0,
) -> Iterator[Try]:
    """Yield a try per moment in which the case can be struck, undisturbed and disturbed.

    :param half: which moments a plain run takes with a failing method: 0 or 1 for every other
        one, the first one included or not.
    """
    failing = [(method, "after") for method in driver_methods(case, directory)]
    if not (gathers or FULL):
        failing = []
    for broken, moment in [("", "before"), ("", "after"), *failing]:
        step = 2 if broken and not FULL else 1
        for number in itertools.count(half % step, step):
            this = arranged(case, World(directory, gathers), broken)
            this.world.strike_at(number, moment, error)
            yield this
            if number >= len(this.world.effects):
                break


def driver_methods(case: Case, directory: Path) -> list[str]:
    """Return the methods of the driver that the case calls."""
    if case.name not in _METHODS:
        effects = effects_of(case, World(directory))
        called = {name.split(".")[1] for name in effects if name.startswith("driver.")}
        _METHODS[case.name] = sorted(called)
    return _METHODS[case.name]


def arranged(case: Case, world: World, broken: str) -> Try:
    """Prepare a case in a new world.

    :param broken: the driver's method that fails, empty for none.
    """
    args = case.start(world)
    if broken:
        world.driver.plan[broken] = VolumeBackendAPIException("out of order")
    return Try(case, world, broken, args)


def undisturbed(case: Case, directory: Path) -> dict[str, Any]:
    """Return how the case ends by itself, by the method that fails; several tests compare it."""
    if case.name in _ENDS:
        return _ENDS[case.name]
    found: dict[str, Any] = {}
    for broken in ("", *driver_methods(case, directory)):
        this = arranged(case, World(directory), broken)
        outcome = this.run()
        assert outcome is not None
        found[broken] = (outcome.state, facts(this.world))
    _ENDS[case.name] = found
    return found


def facts(world: World) -> dict[str, Any]:
    """Return the rows, but for times and random ids."""
    tables = {"volume": world.db.volumes, "snapshot": world.db.snapshots, **world.db.groups}
    rows = {
        f"{kind} {row['id']}": {
            name: "made up" if _is_made_up(value) else value
            for name, value in row.items()
            if not isinstance(value, datetime.datetime)
        }
        for kind, table in tables.items()
        for row in table.rows.values()
        if len(row["id"]) < 4
    }
    pairs = {owner: found for owner, found in world.db.pairs.items() if len(owner[1]) < 4}
    return {**rows, "pairs": pairs, "service": dict(world.service.row)}


def _is_made_up(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 36 and value.count("-") == 4


def assert_same(this: Try, outcome: Outcome, alone: dict[str, Any]) -> None:
    """It ended as if nothing had happened.

    A second try clears away first, so a driver that cannot delete may fail it.
    """
    if not this.broken.startswith(("delete_", "remove_")):
        assert (outcome.state, facts(this.world)) == alone[this.broken], this.broken


@BY_NAME
@JOURNALS
def test_a_killed_flow_that_is_resumed_ends(case: Case, gathers: bool, tmp_path: Path) -> None:
    killed, alone = 0, undisturbed(case, tmp_path)
    for this in tries(case, tmp_path, gathers):
        outcome = this.run()
        if outcome is None:
            killed += 1
            outcome = this.run(resumed=True)

        assert outcome is not None
        assert_settled(this.world, case, this.broken)
        assert_same(this, outcome, alone)

    assert killed > 1


@BY_NAME
def test_a_flow_that_is_killed_twice_ends(case: Case, tmp_path: Path) -> None:
    effects = len(effects_of(case, World(tmp_path)))
    step = 1 if FULL else 4
    for first in range(effects):
        for second in range(-first % step, effects + 2, step):
            world = World(tmp_path)
            this = arranged(case, world, "")
            world.strike_at(first, "after")
            assert this.run() is None
            world.strike_at(second, "after")
            if this.run(resumed=True) is None:
                assert this.run(resumed=True) is not None

            assert_settled(world, case)
            if world.blow is not None:  # it had fewer effects: the later pairs are the same
                break


@BY_NAME
@JOURNALS
def test_a_killed_flow_that_is_reverted_ends(case: Case, gathers: bool, tmp_path: Path) -> None:
    for this in tries(case, tmp_path, gathers, half=1):
        outcome = this.run() or this.run(resumed=True, revert=True)

        assert outcome is not None
        assert_settled(this.world, case, this.broken)


@BY_NAME
def test_a_database_that_is_away_for_a_moment_changes_nothing(case: Case, tmp_path: Path) -> None:
    alone = undisturbed(case, tmp_path)
    for this in tries(case, tmp_path, error=Unavailable):
        outcome = this.run()

        assert outcome is not None
        assert_settled(this.world, case, this.broken)
        assert_same(this, outcome, alone)
