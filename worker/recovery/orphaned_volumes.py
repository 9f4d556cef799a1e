# SPDX-License-Identifier: Apache-2.0
"""What a service left behind that served this backend before, or lost its messages.

At the start, what it said it worked on is ended by Cinder's own rules. What no row tells
of may still wait on the bus: so the rest is ended some time later, when all that waited
has been taken, here and by a scheduler.

Source: spec/volume-rpc §8.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from oslo_utils import timeutils

from flows import engine
from flows.context import VolumeServiceContext
from flows.errors import Interrupted
from flows.factories import Factory
from flows.host import cleanup, orphaned
from worker.db.records import Records
from worker.db.records.services.service import is_up

LOG = logging.getLogger(__name__)

GRACE = 60.0
"""Seconds in which what waits on the bus is taken."""

PAUSE = 5.0
"""Seconds between two looks whether it has been."""

UP = 60.0
"""Seconds after its last heartbeat for which a scheduler counts as up."""

_EVERYTHING = {"service_id": None, "resource_type": None, "resource_id": None, "until": None}


class OrphanedVolumes:
    """Looks once at each start.

    :param host: ``host@backend``.
    :param context: makes what a flow is given.
    """

    def __init__(
        self, records: Records, host: str, context: Callable[[], VolumeServiceContext]
    ) -> None:
        self._records = records
        self._host = host
        self._context = context
        self._since = timeutils.utcnow().replace(microsecond=0)

    def clean_up(self) -> None:
        """End what has a row that names this service."""
        self._run(cleanup.flow, **_EVERYTHING)

    def start(self, has_room: Callable[[], bool], stopping: threading.Event) -> None:
        """End the rest, when the grace is over.

        :param has_room: says whether what the bus has is taken at once.
        """
        args = (has_room, stopping)
        threading.Thread(target=self._settle, args=args, name="abandoned", daemon=True).start()

    def _settle(self, has_room: Callable[[], bool], stopping: threading.Event) -> None:
        if stopping.wait(GRACE):
            return
        while not (has_room() and self._scheduled()):
            if stopping.wait(PAUSE):
                return
        self._run(orphaned.flow, before=self._since.isoformat())

    def _scheduled(self) -> bool:
        """Say whether a scheduler has passed on what it had, where there is one."""
        try:
            rows = self._records.services.list(binary="cinder-scheduler")
        except Exception as error:  # noqa: BLE001 - the next look will tell
            LOG.info("what was left on %s has to wait: %s", self._host, error)
            return False
        return not rows or any(is_up(row, UP) for row in rows)

    def _run(self, factory: Factory, **args: Any) -> None:
        try:
            outcome = engine.run_in_memory(factory, args, self._context())
        except Interrupted:
            LOG.info("what was left on %s is looked at at the next start", self._host)
            return
        if outcome.failure is not None:
            reason = outcome.failure.exception_str
            LOG.error("what was left on %s was not all looked at: %s", self._host, reason)
