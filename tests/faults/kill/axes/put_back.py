# SPDX-License-Identifier: Apache-2.0
"""Put the journal back to each earlier state of an operation that has ended, and start.

A power cut takes the last writes of the journal away, a copy of the journal or of its
machine any number. The operation has ended, and a user has written to its volume: nothing
of that may change. States are recorded at each write of the journal, so that every one that
a power cut or a copy can bring back is tried.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from tests.faults.kill import entries
from tests.faults.kill.axes.axis import Axis
from tests.faults.kill.campaign import Batch
from tests.faults.kill.cases.case import Asked
from tests.faults.kill.verdict import Strike, Verdict, data_of, kind_of

_QUESTIONS = ("get_backup_device", "backup_use_temp_snapshot", "secure_file_operations_enabled")
"""Calls that change nothing, of an operation whose resource stays in its status at the end."""

_CLEARING = ("remove_copy",)
"""Calls that remove objects which no row names, also once more: the facts show any others."""

_WRITTEN = b"written by a user %s"


class PutBack(Axis):
    """A kill after the end, an earlier state of the journal, and a start."""

    name = "put-back"

    def strikes(self) -> list[Strike]:
        """Return a strike for each write of the journal but the last, of each way.

        A last step that fails is left out: it would fail again after the end. So is an operation
        that leaves its resource as before when it fails.
        """
        return [
            Strike(way, f"state#{number}", self.name)
            for way, course in self.campaign.known.items()
            for number in range(max(0, course.states - 1))
            if not way.plan.broken_at_once
            and not (way.case.repeated and (way.broken_step or way.broken_call))
        ]

    def strike(self, batch: Sequence[Strike]) -> list[Verdict]:
        """Put ended operations back to earlier states, all with one start."""
        world, asked = self.world, self.campaign.end([strike.way for strike in batch])
        both = list(zip(batch, asked, strict=True))
        world.kill(family=False)
        for strike, one in both:
            recorded = world.states(one.resource)
            number = int(strike.point.rpartition("#")[2])
            chosen = recorded[min(number, len(recorded) - 1)]
            entries.put_back(world.journal_path, json.loads(chosen))
        for _strike, one in both:
            self._write_as_a_user(one)
        before = {one.resource: world.facts(one.project, one.roles) for one in asked}
        world.start()
        arranged = Batch(both, before)
        late = self.campaign.late(arranged.resources)
        verdicts = [self._judge(strike, one, before[one.resource], late) for strike, one in both]
        world.clear()
        return verdicts

    def _write_as_a_user(self, one: Asked) -> None:
        for path in self.world.written_by_users(one.roles):
            with path.open("r+b") as file:
                file.write(_WRITTEN % one.resource.encode())

    def _judge(
        self, strike: Strike, one: Asked, before: dict[str, object], late: set[str]
    ) -> Verdict:
        if one.resource in late:
            found = self.world.journal().get(one.resource)
            return Verdict(strike, "lost" if found is None else "stuck", f"the journal: {found}")
        facts = self.campaign.settled(one, [before])
        if strike.way.case.undone and data_of(facts) == data_of(before):
            # A call whose caller is gone may be undone once more.
            return Verdict(strike, "survived")
        calls = [] if strike.way.case.call else self._calls(one)
        if facts == before and not calls:
            return Verdict(strike, "survived")
        what, lines = kind_of(before, before, facts)
        if calls and not lines:
            what = "destroyed"  # a driver that was called might have destroyed data
        return Verdict(strike, what, self.campaign.told(one, "\n  ".join([*lines, *calls])))

    def _calls(self, one: Asked) -> list[str]:
        """Return the calls of the driver since the start; of an ended operation there are none."""
        points = [point.partition("#")[0] for point in self.world.passed(one.resource)]
        asked = {f"before driver.{name}" for name in (*_QUESTIONS, *_CLEARING)}
        return [one for one in points if one.startswith("before driver.") and one not in asked]
