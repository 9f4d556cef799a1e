# SPDX-License-Identifier: Apache-2.0
"""The ways of a case, and the course that each takes undisturbed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from flows import factories
from tests.faults.kill.cases.case import Case
from tests.faults.kill.checks.drift_after import ARRANGED, KEPT
from tests.faults.kill.plan import Plan

_TRANSIENT = ("creating", "deleting", "extending", "reverting", "restoring", "unmanaging")

_ABOUT_STEPS = ("before driver.", " RUNNING", " REVERTING")
"""Parts of the names of points that an operation passes once, unless a step is repeated."""


@dataclass(frozen=True)
class Way:
    """A case, and its failures besides the campaign's faults."""

    case: Case
    broken_step: str = ""
    broken_call: str = ""

    @property
    def broken(self) -> str:
        """The step or the driver's call that fails."""
        return self.broken_step or self.broken_call

    @property
    def name(self) -> str:
        """The case and its broken step or call."""
        return f"{self.case.name}, {self.broken} fails" if self.broken else self.case.name

    @property
    def plan(self) -> Plan:
        """Its course without a fault.

        The last step fails at once: when it is done, the operation has ended, and no error of
        ours can follow.
        """
        last = self.broken_step == steps_of(self.case)[-1]
        return Plan(self.broken_step, broken_at_once=last, broken_call=self.broken_call)


@dataclass(frozen=True)
class Course:
    """What a way does undisturbed.

    :param facts: the remains.
    :param drift: kind and role of each drift that an audit finds in them.
    :param commits: its commits, in Cinder's database and in the journal.
    :param states: how many states its entry in the journal had.
    """

    points: tuple[str, ...]
    facts: dict[str, Any]
    commits: tuple[str, ...] = ()
    states: int = 0
    drift: frozenset[str] = frozenset()

    @property
    def calls(self) -> set[str]:
        """The driver's methods that were called."""
        done = (point for point in self.points if point.startswith("after driver."))
        return {point.rpartition("#")[0].split("driver.")[1] for point in done}

    def repeated(self, passed: list[str]) -> list[str]:
        """Return the points of steps and calls of the driver that another course has besides."""
        return [
            point
            for point in passed
            if point not in self.points and any(part in point for part in _ABOUT_STEPS)
        ]


def steps_of(case: Case) -> list[str]:
    """Return the steps of a case's flow."""
    args = dict.fromkeys(factories.parameters_of(case.factory))
    return [step.name for step, _data in case.factory(**args).iter_nodes()]


def failing(way: Way, course: Course) -> list[Way]:
    """Return the ways in which a step, or a call of the driver, fails."""
    steps = [replace(way, broken_step=step) for step in steps_of(way.case)]
    return steps + [replace(way, broken_call=call) for call in sorted(course.calls)]


def insane(way: Way, course: Course) -> Iterator[str]:
    """Yield the remains that no end of an operation may leave."""
    facts = course.facts
    if facts["reserved"]:
        yield f"{way.name}: {facts['reserved']} of quota stay reserved"
    handed_on = facts["scheduled"]
    if facts["work"] and not handed_on:
        yield f"{way.name}: a work row stays"
    for one in course.drift:
        kind = one.partition(" ")[0]
        if kind not in ARRANGED and not (way.broken and (way.case.name, kind) in KEPT):
            yield f"{way.name}: an audit finds {one}"
    for name, found in facts.items():
        kind, _, role = name.partition(" ")
        status = found[0] if isinstance(found, tuple) else found
        if kind in ("volume", "snapshot") and status in _TRANSIENT and role not in handed_on:
            yield f"{way.name}: {name} stays {status}"
        if role == "?" and kind != "attachment":
            yield f"{way.name}: {kind} of its own stays: {found}"
