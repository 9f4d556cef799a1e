# SPDX-License-Identifier: Apache-2.0
"""Learn the ways of one world, and try strikes of the axes on it, many at a time.

An operation that met a fault must end as one that did not: same statuses, files, exports,
quota, attachments.
"""

from __future__ import annotations

import collections
import random
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from tests.faults.kill.cases.case import Asked, Case
from tests.faults.kill.checks.drift_after import DriftCheck
from tests.faults.kill.course import Course, Way, failing, insane, steps_of
from tests.faults.kill.verdict import Strike, Tally, Verdict, kind_of
from tests.faults.kill.world import World

if TYPE_CHECKING:
    from tests.faults.kill.axes.axis import Axis

PATIENCE = 60.0
"""Seconds after which an operation without an end is stuck."""

UNDISTURBED = 180.0
"""The same for operations that nothing disturbs: a busy machine is no fault."""

SETTLED = 20.0
"""Seconds after which exports are back."""

CALLS = 16
"""Calls that are made at the same time: one that waits for long is not carried out."""

BATCH = 120
"""Operations that one fault strikes."""

POLL = 0.1
"""Seconds between two looks at the journal."""

Say = Callable[[str], None]


@dataclass
class Batch:
    """Operations that meet one fault together.

    :param before: what there was of each, by its resource.
    :param hit: the resources whose operations stood at their points.
    """

    both: list[tuple[Strike, Asked]]
    before: dict[str, dict[str, Any]]
    hit: set[str] = field(default_factory=set)

    @property
    def resources(self) -> set[str]:
        """The resources of all operations."""
        return {one.resource for _strike, one in self.both}

    @property
    def unheard(self) -> set[str]:
        """The resources of calls that the journal did not have at the fault."""
        return {one.resource for strike, one in self.both if strike.unheard}


class Campaign:
    """Strikes on one world.

    :param say: takes a line of progress.
    """

    def __init__(self, world: World, chance: random.Random, say: Say) -> None:
        self.world = world
        self.chance = chance
        self.tally = Tally()
        self.known: dict[Way, Course] = {}
        self.drift = DriftCheck(world)
        self._say = say
        self._batches = 0

    # -- undisturbed ---------------------------------------------------------------

    def discover(self, cases: Sequence[Case], most: int | None = None) -> None:
        """Run each case undisturbed: alone, with each step and each call of the driver failing.

        :param most: of the latter, a random choice of so many.
        """
        self.learn([Way(case) for case in cases])
        for way, course in self.known.items():
            unmet = {f"{step} RUNNING#0" for step in steps_of(way.case)} - set(course.points)
            assert not unmet, f"{way.name} never came to {unmet}"
        ways = [one for way, course in self.known.items() for one in failing(way, course)]
        if most is not None:
            ways = self.chance.sample(ways, min(most, len(ways)))
        self.learn(ways)
        for way, course in self.known.items():
            for line in insane(way, course):
                self.tally.verdicts.append(Verdict(Strike(way, "none#0"), "stuck", line))

    def learn(self, ways: Sequence[Way]) -> None:
        """Run ways undisturbed, and keep their courses."""
        world = self.world
        for start in range(0, len(ways), BATCH):
            some = ways[start : start + BATCH]
            both = list(zip(some, self.end(some), strict=True))
            self.drift.look()
            for way, one in both:
                self.known[way] = Course(
                    points=tuple(world.passed(one.resource)),
                    facts=world.facts(one.project, one.roles),
                    commits=tuple(world.commits(one.resource)),
                    states=len(world.states(one.resource)),
                    drift=self.drift.of(one),
                )
            world.clear()
            self._say(f"{len(some)} ways learnt")

    def end(self, ways: Sequence[Way]) -> list[Asked]:
        """Carry out operations undisturbed, and return what was asked for."""
        asked = self._prepare(way.case for way in ways)
        both = list(zip(ways, asked, strict=True))
        for way, one in both:
            self.world.plan(one.resource, replace(way.plan, record=True))
        late = self._send([(way.case, one) for way, one in both], patience=UNDISTURBED)
        names = sorted({way.name for way, one in both if one.resource in late})
        assert not late, f"{len(late)} did not end although nothing disturbed them: {names}"
        self._wait_for_others()
        self.world.hear()
        return asked

    # -- strikes -------------------------------------------------------------------

    def run(self, axis: Axis, strikes: Iterable[Strike]) -> None:
        """Carry out strikes of an axis, many at a time."""
        batches = list(_batches(strikes, self.chance))
        if not batches:
            return
        with axis.prepared():
            for batch in batches:
                began = time.monotonic()
                verdicts = self._try(axis, batch)
                self.tally.verdicts += verdicts
                for verdict in verdicts:
                    if verdict.is_bad:
                        self._say(verdict.shown())
                self._batches += 1
                count = collections.Counter(v.what for v in verdicts)
                told = ", ".join(f"{n} {what}" for what, n in sorted(count.items()))
                took = f"{time.monotonic() - began:.1f} s"
                self._say(f"{axis.name}, batch {self._batches}: {told} in {took}")

    def _try(self, axis: Axis, batch: Sequence[Strike]) -> list[Verdict]:
        try:
            return axis.strike(batch)
        except Exception:  # noqa: BLE001 - the others are tried nevertheless
            log = self.world.service.tail(30)
            axis.recover()
            self.world.clear()
            return [Verdict(batch[0], "stuck", f"{traceback.format_exc()}\n{log}")]

    def arrange(self, strikes: Sequence[Strike]) -> Batch:
        """Make the resources of operations."""
        asked = self._prepare(strike.way.case for strike in strikes)
        before = {one.resource: self.world.facts(one.project, one.roles) for one in asked}
        return Batch(list(zip(strikes, asked, strict=True)), before)

    def send(self, batch: Batch) -> set[str]:
        """Send messages, and wait for the ends; return the operations that do not end."""
        return self._send([(strike.way.case, one) for strike, one in batch.both])

    def send_to_points(self, batch: Batch) -> None:
        """Send messages, and wait until all operations stand at their points, or have ended."""
        for strike, one in batch.both:
            self.world.plan(one.resource, replace(strike.way.plan, stop=strike.point))
        # The operation that stops the listener comes last, when the others are in place.
        for last in (False, True):
            some = [(s.way.case, one) for s, one in batch.both if s.in_listener == last]
            self._send(some, stopped=True)
        batch.hit = set(self.world.stopped())

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
            time.sleep(POLL)

    def judge(self, batch: Batch, late: set[str]) -> list[Verdict]:
        """Judge all operations of a batch, and forget them.

        :param late: those that have not ended.
        """
        world = self.world
        world.hear()
        verdicts = [self._judge(strike, one, batch, late) for strike, one in batch.both]
        self.drift.look()
        for number, (strike, one) in enumerate(batch.both):
            known_drift = self.known[strike.way].drift
            more = self.drift.added(one, known_drift, unheard=strike.unheard)
            if more and not verdicts[number].is_bad:
                text = self.told(one, f"an audit finds {more}")
                verdicts[number] = Verdict(strike, "leaked", text)
        known = {name for _strike, one in batch.both for name in one.roles.values()}
        if strays := world.strays(known):
            verdicts.append(Verdict(batch.both[0][0], "leaked", f"files of nobody: {strays}"))
        world.clear()
        return verdicts

    def _judge(self, strike: Strike, one: Asked, batch: Batch, late: set[str]) -> Verdict:
        world, before = self.world, batch.before[one.resource]
        left = len(world.passed(one.resource))
        if one.resource in late:
            states = world.journal().get(one.resource)
            what = "lost" if states is None else "stuck"
            return Verdict(strike, what, self.told(one, f"the journal: {states}"))
        allowed = [self.known[strike.way].facts]
        if strike.way.case.undone or strike.unheard:
            allowed.append(before)
        facts = self.settled(one, allowed)
        if facts not in allowed:
            what, lines = kind_of(allowed[0], before, facts)
            return Verdict(strike, what, self.told(one, "\n  ".join(lines)))
        return Verdict(strike, "survived" if one.resource in batch.hit else "missed", left=left)

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

    def _prepare(self, cases: Iterable[Case]) -> list[Asked]:
        with ThreadPoolExecutor(8) as pool:
            return list(pool.map(lambda case: case.prepare(self.world), cases))

    def _send(
        self,
        some: Sequence[tuple[Case, Asked]],
        *,
        stopped: bool = False,
        patience: float = PATIENCE,
    ) -> set[str]:
        """Send messages and wait for the ends, or the stops; return those that reach neither."""
        calls = [(case, one) for case, one in some if case.call]
        groups = [calls[start : start + CALLS] for start in range(0, len(calls), CALLS)]
        late: set[str] = set()
        for group in [*groups, [(case, one) for case, one in some if not case.call]]:
            for case, one in group:
                case.send(self.world, one)
            resources = {one.resource for _case, one in group}
            late |= self.late(resources, stopped=stopped, patience=patience)
        return late

    def _wait_for_others(self) -> None:
        """Wait for casts that operations have sent to other services."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if not self.world.waiting() and not self.world.journal().keys() - self.world.ended():
                return
            time.sleep(POLL)


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
