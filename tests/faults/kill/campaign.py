# SPDX-License-Identifier: Apache-2.0
"""Find all points, kill at each of them and at pairs of them, and compare.

An operation that was killed must end as one that was not: same statuses, files,
exports, quota, attachments. Many operations stand at their points in one process;
one kill strikes them all.
"""

from __future__ import annotations

import collections
import json
import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from flows import factories
from tests.faults.kill.case import Asked, Case
from tests.faults.kill.plan import Plan
from tests.faults.kill.world import World

PATIENCE = 20.0
"""Seconds after which an operation without an end is stuck."""

UNDISTURBED = 180.0
"""The same for operations that nothing disturbs: a busy machine is no fault."""

SETTLED = 5.0
"""Seconds after which exports are back."""

CALLS = 16
"""Calls that are made at the same time."""

BATCH = 120
"""Operations that one kill strikes."""

LISTENER = ("received#0", "journalled#0", "acknowledged#0")
"""Points of a cast at which the thread stands that brings the others: one at a time."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Way:
    """A case, and its failures besides kills."""

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
        """Its course without a kill."""
        return Plan(broken_step=self.broken_step, broken_call=self.broken_call)


@dataclass(frozen=True)
class Known:
    """The course of a way without kills."""

    points: tuple[str, ...]
    facts: dict[str, Any]
    states: int = 0
    """How many states its entry in the journal had."""


@dataclass(frozen=True)
class Strike:
    """A kill at a point; with ``then``, a second one that many points after the restart."""

    way: Way
    point: str
    then: int | None = None

    @property
    def in_listener(self) -> bool:
        """Whether it stops the thread that brings messages."""
        return not self.way.case.call and self.point in LISTENER

    @property
    def kills(self) -> int:
        """How often it is killed."""
        return 1 if self.then is None else 2

    def to_json(self) -> str:
        """Return the argument of ``--replay``."""
        way = self.way
        return json.dumps([way.case.name, way.broken_step, way.broken_call, self.point, self.then])

    @classmethod
    def from_json(cls, text: str, case: Case) -> Strike:
        """Read it back."""
        _name, step, call, point, then = json.loads(text)
        return cls(Way(case, step, call), point, then)


_GOOD = ("survived", "missed")


@dataclass
class Verdict:
    """The end of one operation.

    :param what: ``survived``, ``missed`` (it ended before its point), ``lost``,
        ``stuck`` or ``leaked``.
    :param left: the points that it passed after the last restart.
    """

    strike: Strike
    what: str
    told: str = ""
    left: int = 0

    def shown(self) -> str:
        """Return all that is needed to look into it."""
        return (
            f"{self.what.upper()}: {self.strike.way.name} at {self.strike.point}\n  {self.told}\n"
            f"  again: python -m tests.faults.kill --replay '{self.strike.to_json()}'"
        )


@dataclass
class Tally:
    """All verdicts so far."""

    verdicts: list[Verdict] = field(default_factory=list)

    @property
    def kill_points(self) -> int:
        """How many kills hit an operation at a point."""
        return sum(v.strike.kills for v in self.verdicts if v.what != "missed")

    def bad(self) -> list[Verdict]:
        """Return the violations."""
        return [v for v in self.verdicts if v.what not in _GOOD]

    def figures(self) -> dict[str, int]:
        """Return the figures of the campaign."""
        count = collections.Counter(v.what for v in self.verdicts)
        wrong = {what: count[what] for what in ("lost", "stuck", "leaked")}
        return {"kill_points": self.kill_points, **wrong}

    @property
    def missed(self) -> int:
        """How many ended before the second kill came; they do not count."""
        return sum(v.what == "missed" for v in self.verdicts)

    def table(self) -> Iterator[str]:
        """Yield lines: operation and point, how often it was killed there and survived."""
        runs: collections.Counter[tuple[str, str]] = collections.Counter()
        good: collections.Counter[tuple[str, str]] = collections.Counter()
        for verdict in self.verdicts:
            key = (verdict.strike.way.case.name, verdict.strike.point.rpartition("#")[0])
            runs[key] += verdict.what != "missed"
            good[key] += verdict.what == "survived"
        yield f"{'operation':<28}{'point':<44}{'runs':>6}{'survived':>10}"
        before = ""
        for (name, point), count in sorted(runs.items()):
            shown = "" if name == before else name
            before = name
            yield f"{shown:<28}{point:<44}{count:>6}{good[name, point]:>10}"


class Campaign:
    """Strikes on one world.

    :param say: takes a line of progress.
    """

    def __init__(self, world: World, chance: random.Random, say: Say) -> None:
        self.world = world
        self.tally = Tally()
        self.known: dict[Way, Known] = {}
        self._chance = chance
        self._say = say
        self._batches = 0

    def discover(self, cases: Sequence[Case]) -> None:
        """Run everything undisturbed: each case alone, with each step and each call broken."""
        self.learn([Way(case) for case in cases])
        for way, known in self.known.items():
            unmet = {f"{step} RUNNING#0" for step in _steps_of(way.case)} - set(known.points)
            assert not unmet, f"{way.name} never came to {unmet}"
        ways = []
        for way in list(self.known):
            calls = {point.split("driver.")[1] for point in self._calls_of(way)}
            ways += [replace(way, broken_step=step) for step in _steps_of(way.case)]
            ways += [replace(way, broken_call=call) for call in sorted(calls)]
        self.learn(ways)
        for way, known in self.known.items():
            for line in _insane(way, known.facts):
                self.tally.verdicts.append(Verdict(Strike(way, "none#0"), "stuck", line))

    def singles(self) -> list[Strike]:
        """Return a strike for each point of each way.

        A broken step makes no difference before its flow begins.
        """
        found = [Strike(way, point) for way, known in self.known.items() for point in known.points]
        return [one for one in found if not (one.in_listener and one.way.broken)]

    def pairs(self) -> list[Strike]:
        """Return a second strike at each point that was passed after a first one."""
        return [
            replace(verdict.strike, then=number)
            for verdict in self.tally.verdicts
            if verdict.what == "survived" and verdict.strike.then is None
            for number in range(verdict.left)
        ]

    def run(self, strikes: Iterable[Strike]) -> None:
        """Carry out strikes, many at a time."""
        for batch in _batches(strikes, self._chance):
            began = time.monotonic()
            verdicts = self._strike(batch)
            self.tally.verdicts += verdicts
            for verdict in verdicts:
                if verdict.what not in _GOOD:
                    self._say(verdict.shown())
            self._batches += 1
            count = collections.Counter(v.what for v in verdicts)
            told = ", ".join(f"{n} {what}" for what, n in sorted(count.items()))
            self._say(f"batch {self._batches}: {told} in {time.monotonic() - began:.1f} s")

    def end(self, ways: Sequence[Way]) -> list[Asked]:
        """Carry out operations undisturbed, and return what was asked for."""
        asked = self._prepare(way.case for way in ways)
        both = list(zip(ways, asked, strict=True))
        for way, one in both:
            self.world.plan(one.resource, way.plan)
        # A call that waits for longer than its caller is not carried out: some at a time.
        calls = [pair for pair in both if pair[0].case.call]
        groups = [calls[start : start + CALLS] for start in range(0, len(calls), CALLS)]
        for group in [*groups, [pair for pair in both if not pair[0].case.call]]:
            for way, one in group:
                way.case.send(self.world, one)
            late = self.late({one.resource for _way, one in group}, patience=UNDISTURBED)
            names = sorted({way.name for way, one in group if one.resource in late})
            assert not late, f"{len(late)} did not end although nobody was killed: {names}"
        self._wait_for_others()
        self.world.hear()
        return asked

    def learn(self, ways: list[Way]) -> None:
        """Run ways undisturbed, and keep their courses."""
        for start in range(0, len(ways), BATCH):
            some = ways[start : start + BATCH]
            asked = self.end(some)
            for way, one in zip(some, asked, strict=True):
                points = self.world.passed(one.resource)
                facts = self.world.facts(one.project, one.roles)
                states = len(self.world.states(one.resource))
                self.known[way] = Known(tuple(points), facts, states)
            self.world.clear()
            self._say(f"{len(some)} ways learnt")

    def _calls_of(self, way: Way) -> Iterator[str]:
        return (
            point.rpartition("#")[0]
            for point in self.known[way].points
            if point.startswith("after driver.")
        )

    def _prepare(self, cases: Iterable[Case]) -> list[Asked]:
        with ThreadPoolExecutor(8) as pool:
            return list(pool.map(lambda case: case.prepare(self.world), cases))

    def _strike(self, batch: Sequence[Strike]) -> list[Verdict]:
        world = self.world
        asked = self._prepare(strike.way.case for strike in batch)
        both = list(zip(batch, asked, strict=True))
        before = {one.resource: world.facts(one.project, one.roles) for one in asked}
        for strike, one in both:
            world.plan(one.resource, replace(strike.way.plan, stop=strike.point))
        # The operation that stops the listener comes last, when the others are in place.
        for last in (False, True):
            some = [(strike, one) for strike, one in both if strike.in_listener == last]
            for strike, one in some:
                strike.way.case.send(world, one)
            self.late({one.resource for _strike, one in some}, stopped=True)
        hit = set(world.stopped())
        unheard = {
            one.resource
            for strike, one in both
            if strike.way.case.call and strike.point == "received#0"
        }
        self._kill_and_start(both)
        resources = {one.resource for one in asked} - unheard
        if any(strike.then is not None for strike in batch):
            self.late(resources, stopped=True)
            hit = {
                one.resource
                for strike, one in both
                if one.resource in hit and (strike.then is None or one.resource in world.stopped())
            }
            self._kill_and_start(both, last=True)
        late = self.late(resources)
        world.hear()
        verdicts = [
            self._judge(strike, one, before[one.resource], late, hit) for strike, one in both
        ]
        known = {name for one in asked for name in one.roles.values()}
        if strays := world.strays(known):
            verdicts.append(Verdict(batch[0], "leaked", f"files of nobody: {strays}"))
        world.clear()
        return verdicts

    def _kill_and_start(self, both: list[tuple[Strike, Asked]], last: bool = False) -> None:
        for strike, one in both:
            then = None if last else strike.then
            self.world.plan(one.resource, replace(strike.way.plan, stop_after=then))
        self.world.kill(family=self._chance.random() < 0.5)
        self.world.start()

    def late(
        self, resources: set[str], *, stopped: bool = False, patience: float = PATIENCE
    ) -> set[str]:
        """Wait for ends, or for stops as well; return the operations that reach neither."""
        deadline = time.monotonic() + patience
        while True:
            left = resources - self.world.ended()
            if stopped:
                left -= set(self.world.stopped())
            if not left or time.monotonic() > deadline:
                return left
            time.sleep(0.1)

    def _wait_for_others(self) -> None:
        """Wait for casts that operations have sent to other services."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if not self.world.waiting() and not self.world.journal().keys() - self.world.ended():
                return
            time.sleep(0.1)

    def _judge(
        self, strike: Strike, one: Asked, before: Any, late: set[str], hit: set[str]
    ) -> Verdict:
        world = self.world
        left = len(world.passed(one.resource))
        if one.resource in late:
            states = world.journal().get(one.resource)
            what = "lost" if states is None else "stuck"
            return Verdict(strike, what, self.told(one, f"the journal: {states}"))
        allowed = [self.known[strike.way].facts]
        if strike.way.case.undone or (strike.way.case.call and strike.point == "received#0"):
            allowed.append(before)
        facts = self.settled(one, allowed)
        if facts not in allowed:
            lines = [line for wanted in allowed for line in _differences(wanted, facts)]
            return Verdict(strike, "leaked", self.told(one, "\n  ".join(lines)))
        return Verdict(strike, "survived" if one.resource in hit else "missed", left=left)

    def settled(self, one: Asked, allowed: list[dict[str, Any]]) -> dict[str, Any]:
        """Return the facts; exports come back some time after the service does."""
        deadline = time.monotonic() + SETTLED
        while True:
            facts = self.world.facts(one.project, one.roles)
            if facts in allowed or time.monotonic() > deadline:
                return facts
            time.sleep(0.2)

    def told(self, one: Asked, text: str) -> str:
        """Return a text with the log lines of an operation."""
        log = self.world.service.text().splitlines()
        lines = [line for line in log if one.resource in line]
        return "\n  ".join([text, f"roles {one.roles}", *lines])


def _steps_of(case: Case) -> list[str]:
    args = dict.fromkeys(factories.parameters_of(case.factory))
    return [step.name for step, _data in case.factory(**args).iter_nodes()]


def _batches(strikes: Iterable[Strike], chance: random.Random) -> Iterator[list[Strike]]:
    """Yield strikes in random order, with one at most that stops the listener."""
    everything = list(strikes)
    listening = [strike for strike in everything if strike.in_listener]
    others = [strike for strike in everything if not strike.in_listener]
    chance.shuffle(listening)
    chance.shuffle(others)
    count = max(len(listening), -(-len(others) // BATCH))
    size = -(-len(others) // count) if count else 0
    for number in range(count):
        yield others[number * size : (number + 1) * size] + listening[number : number + 1]


_TRANSIENT = ("creating", "deleting", "extending", "reverting", "restoring", "unmanaging")


def _insane(way: Way, facts: dict[str, Any]) -> Iterator[str]:
    """Yield the remains that no end of an operation may leave."""
    if facts["reserved"]:
        yield f"{way.name}: {facts['reserved']} of quota stay reserved"
    handed_on = facts["scheduled"]
    if facts["work"] and not handed_on:
        yield f"{way.name}: a work row stays"
    for name, found in facts.items():
        kind, _, role = name.partition(" ")
        status = found[0] if isinstance(found, tuple) else found
        if kind in ("volume", "snapshot") and status in _TRANSIENT and role not in handed_on:
            yield f"{way.name}: {name} stays {status}"
        if role == "?" and kind != "attachment":
            yield f"{way.name}: {kind} of its own stays: {found}"


def _differences(wanted: dict[str, Any], found: dict[str, Any]) -> Iterator[str]:
    for name in sorted(wanted.keys() | found.keys()):
        if wanted.get(name) != found.get(name):
            yield f"{name}: {found.get(name)}, expected {wanted.get(name)}"
