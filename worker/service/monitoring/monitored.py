# SPDX-License-Identifier: Apache-2.0
"""The processes of a service as monitors see them: their snapshots, and one listener."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass

from oslo_config import cfg

from worker.conf.option_groups import monitoring
from worker.service.monitoring.publisher import Publisher
from worker.service.monitoring.shared_snapshot import SharedSnapshot
from worker.service.start_stop import Service

LISTENER = "worker.service.monitoring.http_listener"
"""Its libraries take 3 MiB, so it is imported only where there is a listener."""


@dataclass(frozen=True)
class Monitored:
    """The places for the snapshots of some processes; none where nothing is monitored.

    :param first: the number of the first of these processes among all.
    """

    places: Sequence[SharedSnapshot] = ()
    first: int = 0

    @classmethod
    def from_conf(cls, conf: cfg.ConfigOpts, name: str, count: int) -> Monitored:
        """Make the places before the fork, and start the listener if there is one.

        :param name: of the service.
        """
        if not (address := monitoring.address(conf)):
            return cls()
        places = [SharedSnapshot() for _ in range(count)]
        importlib.import_module(LISTENER).start(conf, name, address, places)
        return cls(places)

    def of(self, first: int) -> Monitored:
        """Return the view of one of several services, by the number of its first process."""
        return Monitored(self.places, first)

    def publish(self, number: int, service: Service) -> None:
        """Start to write the snapshots of a process, in this process."""
        if self.places:
            Publisher(self.places[self.first + number], service).start()
