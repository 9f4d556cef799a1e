# SPDX-License-Identifier: Apache-2.0
"""Write a snapshot of this process every second, for the listener of its service."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Mapping
from typing import Any

from worker.service.monitoring import probes, process_checks
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

    def start(self) -> None:
        """Start to write, on a thread of its own, until the process ends."""
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
        return {
            "at": now,
            "pid": os.getpid(),
            "slot": parts.base.identity.slot if parts is not None else "",
            "alive": process_checks.alive(self._service, now),
            "ready": process_checks.ready(self._service, self._probes, now),
        }

    def _begin(self, parts: Parts) -> None:
        self._probes = probes.of(parts)
        for probe in self._probes.values():
            probe.start(parts.base.stopping)
