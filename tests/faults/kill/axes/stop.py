# SPDX-License-Identifier: Apache-2.0
"""Stop the service in order at each point of each operation.

The service ends with status 0, the next start resumes its operations, and each one ends as
undisturbed: a stop in order fails no operation, undoes none, and does not count as an
interruption.
"""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Sequence
from dataclasses import replace

from tests.faults.kill.axes.axis import Axis
from tests.faults.kill.campaign import Batch
from tests.faults.kill.verdict import Strike, Verdict
from tests.servers import until

HOWS = ("held", "in grace", "suspended")
"""The operation stands at its point until the process ends; it continues within the grace; or
when it has been asked to suspend, which it does before its next task."""

PATIENCE = 60.0
"""Seconds that a stop takes at most, on a busy machine; its grace is a second."""


class Stop(Axis):
    """SIGTERM, the end of the process, and a start."""

    name = "stop"

    def strikes(self) -> list[Strike]:
        """Return a strike for each point of each way, of a random kind."""
        return [self._of_some_kind(strike) for strike in super().strikes()]

    def strike(self, batch: Sequence[Strike]) -> list[Verdict]:
        """Stop the service while operations stand at their points."""
        campaign, world = self.campaign, self.world
        arranged = campaign.arrange(batch)
        campaign.send_to_points(arranged)
        status = self._stop(arranged)
        for strike, one in arranged.both:
            world.plan(one.resource, strike.way.plan)
        world.after_end()
        world.start()
        unheard = arranged.unheard - world.journal().keys()
        late = campaign.late(arranged.resources - unheard)
        counted = world.interruptions()
        verdicts = campaign.judge(arranged, late)
        if status != 0:
            verdicts.append(Verdict(batch[0], "stuck", f"the service ended with {status}"))
        return [*verdicts, *self._counted(arranged, counted)]

    def _of_some_kind(self, strike: Strike) -> Strike:
        # The thread of a listener never waits; a stop joins it.
        hows = HOWS[1:2] if strike.in_listener else HOWS
        return replace(strike, how=self.chance.choice(hows))

    def _stop(self, batch: Batch) -> int | str:
        service = self.world.service
        before, process = service.position(), service.process
        assert process is not None
        process.send(signal.SIGTERM)

        def said(text: str) -> bool:
            return text in service.text(before) or process.returncode is not None

        until(lambda: said("operations have"), PATIENCE, "the stop to begin")
        self._release(batch, "in grace")
        until(lambda: said("operations are suspended"), PATIENCE, "the end of the grace")
        self._release(batch, "suspended")
        try:
            return process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            return "no status: it did not end"

    def _release(self, batch: Batch, how: str) -> None:
        for strike, one in batch.both:
            if strike.how == how:
                self.world.release(one.resource)

    @staticmethod
    def _counted(batch: Batch, counted: dict[str, int]) -> list[Verdict]:
        """Return a verdict for each operation whose stop was counted as an interruption."""
        return [
            Verdict(strike, "undone_by_restart", "the stop was counted as an interruption")
            for strike, one in batch.both
            if counted.get(one.resource)
        ]
