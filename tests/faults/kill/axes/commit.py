# SPDX-License-Identifier: Apache-2.0
"""Lose the answer of each commit of each operation, in Cinder's database and in the journal.

The commit was done, and the connection breaks before its answer. Nothing else happens: the
operation goes on, and ends as undisturbed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tests.faults.kill.axes.axis import Axis
from tests.faults.kill.verdict import Strike, Verdict


class Commit(Axis):
    """A commit whose answer is lost; the service runs on."""

    name = "commit"

    def strikes(self) -> list[Strike]:
        """Return a strike for each commit of each way."""
        return [
            Strike(way, commit, self.name)
            for way, course in self.campaign.known.items()
            for commit in course.commits
        ]

    def strike(self, batch: Sequence[Strike]) -> list[Verdict]:
        """Carry out operations, each with a commit whose answer is lost."""
        campaign = self.campaign
        arranged = campaign.arrange(batch)
        for strike, one in arranged.both:
            self.world.plan(one.resource, replace(strike.way.plan, lost_commit=strike.point))
        late = campaign.send(arranged)
        arranged.hit = self.world.lost_commits()
        return campaign.judge(arranged, late)
