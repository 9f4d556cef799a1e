# SPDX-License-Identifier: Apache-2.0
"""Freeze the service at each point of each operation, until the broker has given it up.

A standby of the same host waits beside it on the same machine, with the same configuration.
The frozen service keeps its locks, and continues as if nothing had happened: each operation
ends as undisturbed, and each step and each call of the driver is done once.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tests.faults.kill.axes.axis import Axis
from tests.faults.kill.campaign import Batch
from tests.faults.kill.verdict import Strike, Verdict
from tests.functional.service import Service
from tests.servers import until

PATIENCE = 60.0
"""Seconds until the broker gives a silent service up, at most."""

_WAITS = "another process still serves"
_SERVES = "takes operations for"


class Freeze(Axis):
    """SIGSTOP to the service and its children, and SIGCONT."""

    name = "freeze"
    _standby: Service

    def strike(self, batch: Sequence[Strike]) -> list[Verdict]:
        """Freeze the service while operations stand at their points."""
        campaign, world = self.campaign, self.world
        arranged = campaign.arrange(batch)
        campaign.send_to_points(arranged)
        assert world.service.process is not None
        world.service.process.send(signal.SIGSTOP, family=True)
        try:
            until(lambda: not world.consumers(), PATIENCE, "the broker to give the service up")
        finally:
            world.service.process.send(signal.SIGCONT, family=True)
        for resource in arranged.resources:
            world.release(resource)
        world.wait_until_it_consumes()
        late = campaign.late(arranged.resources)
        repeated = self._repeated(arranged)
        if _SERVES in self._standby.text():
            repeated.append(Verdict(batch[0], "destroyed", "the standby served beside it"))
        return [*campaign.judge(arranged, late), *repeated]

    @contextmanager
    def prepared(self) -> Iterator[None]:
        """Have a standby, which never comes to serve."""
        self._standby = self.world.standby()
        try:
            self._start_standby()
            yield
        finally:
            self._standby.close()

    def recover(self) -> None:
        """Restore a running service, and its standby."""
        self._standby.close()
        super().recover()
        self._start_standby()

    def _start_standby(self) -> None:
        after = self._standby.position()
        self._standby.launch()
        self._standby.wait_for_log(_WAITS, after=after)

    def _repeated(self, batch: Batch) -> list[Verdict]:
        """Return a verdict for each operation of which something was done twice."""
        found = []
        for strike, one in batch.both:
            course = self.campaign.known[strike.way]
            if twice := course.repeated(self.world.passed(one.resource)):
                text = self.campaign.told(one, f"done a second time: {twice}")
                found.append(Verdict(strike, "destroyed", text))
        return found
