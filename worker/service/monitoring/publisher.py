# SPDX-License-Identifier: Apache-2.0
"""Write a snapshot of this process every second, for the listener of its service."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Mapping
from typing import Any

from worker.metrics.measurements import MEASURED, Series
from worker.service.monitoring import counted_rows, gauges, probes, process_checks
from worker.service.monitoring.counted_rows import Counted
from worker.service.monitoring.probes import Probe
from worker.service.monitoring.shared_snapshot import SharedSnapshot
from worker.service.parts import Parts
from worker.service.start_stop import Service

LOG = logging.getLogger(__name__)

PAUSE = 1.0
"""Seconds between two snapshots."""


class Publisher:
    """Writes the snapshots of one process.

    :param number: of the process among all of the service.
    """

    def __init__(self, shared: SharedSnapshot, service: Service) -> None:
        self._shared = shared
        self._service = service
        self._failed = False
        self._probes: Mapping[str, Probe] = {}
        self._counted: Mapping[str, Counted] = {}

    def start(self) -> None:
        """Start to write, on a thread of its own, until the process ends.

        The counters continue from those of a former process of this number.
        """
        if (former := self._shared.read()) is not None:
            MEASURED.restore(former["metrics"])
        threading.Thread(target=self._loop, name="monitoring", daemon=True).start()

    def publish(self) -> None:
        """Write a snapshot; an error in it is logged once."""
        try:
            self._shared.write(self._snapshot())
        except Exception:
            if not self._failed:
                LOG.exception("no snapshot for monitoring was taken")
            self._failed = True

    def _loop(self) -> None:
        while True:
            self.publish()
            time.sleep(PAUSE)

    def _snapshot(self) -> dict[str, Any]:
        parts = self._service.built
        if parts is not None and not self._probes:
            self._begin(parts)
        now = time.monotonic()
        identity = parts.base.identity if parts is not None else None
        return {
            "at": now,
            "pid": os.getpid(),
            "service": identity.binary if identity is not None else "",
            "hostname": identity.host if identity is not None else "",
            "slot": identity.slot if identity is not None else "",
            "alive": process_checks.alive(self._service, now),
            "ready": process_checks.ready(self._service, self._probes, now),
            "metrics": self._metrics(parts, now),
        }

    def _metrics(self, parts: Parts | None, now: float) -> dict[str, Series]:
        values = [*gauges.of_outages(), *(gauges.of(parts, now) if parts is not None else ())]
        found = {**gauges.series(values), **MEASURED.series()}
        for one in self._counted.values():
            found |= one.series
        return found

    def _begin(self, parts: Parts) -> None:
        self._counted = counted_rows.of(parts)
        self._probes = probes.of(parts, self._counted)
        for probe in self._probes.values():
            probe.start(parts.base.stopping)
