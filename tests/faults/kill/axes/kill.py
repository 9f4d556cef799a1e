# SPDX-License-Identifier: Apache-2.0
"""Kill the service at each point of each operation, and at pairs of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tests.faults.kill.axes.axis import Axis
from tests.faults.kill.campaign import Batch
from tests.faults.kill.verdict import Strike, Verdict


class Kill(Axis):
    """SIGKILL to the process, or to all its children and exports as well, and a start."""

    name = "kill"
    has_pairs = True

    def pairs(self) -> list[Strike]:
        """Return a second strike at each point that was passed after a first one."""
        return [
            replace(verdict.strike, then=number)
            for verdict in self.campaign.tally.verdicts
            if verdict.strike.axis == self.name
            if verdict.what == "survived" and verdict.strike.then is None
            for number in range(verdict.left)
        ]

    def strike(self, batch: Sequence[Strike]) -> list[Verdict]:
        """Kill operations at their points, perhaps twice."""
        campaign = self.campaign
        arranged = campaign.arrange(batch)
        campaign.send_to_points(arranged)
        self._kill_and_start(arranged)
        resources = arranged.resources - arranged.unheard
        if any(strike.then is not None for strike in batch):
            campaign.late(resources, stopped=True)
            stopped = set(self.world.stopped())
            once = {one.resource for strike, one in arranged.both if strike.then is None}
            arranged.hit &= once | stopped
            self._kill_and_start(arranged, last=True)
        return campaign.judge(arranged, campaign.late(resources))

    def _kill_and_start(self, batch: Batch, last: bool = False) -> None:
        for strike, one in batch.both:
            then = None if last else strike.then
            self.world.plan(one.resource, replace(strike.way.plan, stop_after=then))
        self.world.kill(family=self.chance.random() < 0.5)
        self.restart()

    def restart(self) -> None:
        """Start the service again."""
        self.world.start()
