# SPDX-License-Identifier: Apache-2.0
"""The processes of a service as monitors see them: snapshots, one listener, and traces."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from oslo_config import cfg

from worker.conf.option_groups import monitoring
from worker.service.monitoring.publisher import Publisher
from worker.service.monitoring.shared_snapshot import SharedSnapshot
from worker.service.start_stop import Service

LISTENER = "worker.service.monitoring.http_listener"
"""Its libraries take 3 MiB, so it is imported only where there is a listener."""

TRACER = "worker.spans.tracer"
"""Its libraries are an extra, and imported only where traces are on."""


def _no_traces(_number: int) -> None:
    return None


@dataclass(frozen=True)
class Monitored:
    """The places for the snapshots of some processes; none where nothing is monitored.

    :param first: the number of the first of these processes among all.
    :param trace: starts the traces of a process, of its number among all.
    """

    places: Sequence[SharedSnapshot] = ()
    first: int = 0
    trace: Callable[[int], None] = _no_traces

    @classmethod
    def from_conf(cls, conf: cfg.ConfigOpts, name: str, count: int) -> Monitored:
        """Make the places before the fork, and start the listener if there is one.

        :param name: of the service.
        """
        trace = _no_traces
        if conf.tracing.enabled:
            trace = functools.partial(importlib.import_module(TRACER).start, conf, name)
        if not (address := monitoring.address(conf)):
            return cls(trace=trace)
        places = [SharedSnapshot() for _ in range(count)]
        importlib.import_module(LISTENER).start(conf, name, address, places)
        return cls(places, trace=trace)

    def of(self, first: int) -> Monitored:
        """Return the view of one of several services, by the number of its first process."""
        return replace(self, first=first)

    def publish(self, number: int, service: Service) -> None:
        """Start to write the snapshots of a process, and its traces, in this process."""
        self.trace(self.first + number)
        if self.places:
            Publisher(self.places[self.first + number], service).start()
