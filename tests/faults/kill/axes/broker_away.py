# SPDX-License-Identifier: Apache-2.0
"""Kill the service at each point of each operation, and start it while the broker is away."""

from __future__ import annotations

import time

from tests.faults.kill.axes.kill import Kill

LONGEST = 2.0
"""Seconds that the broker stays away, at most, after the service has come to wait for it."""


class BrokerAway(Kill):
    """SIGKILL, a broker that stops, a start, and the broker again."""

    name = "broker"
    has_pairs = False

    def restart(self) -> None:
        """Start the service without a broker, which comes back a moment later."""
        world = self.world
        world.stop_broker()
        try:
            world.launch()
            world.service.wait_for_notice("STATUS=waits for the message bus")
            time.sleep(self.chance.uniform(0, LONGEST))
        finally:
            world.start_broker()
        world.wait_until_it_consumes()
