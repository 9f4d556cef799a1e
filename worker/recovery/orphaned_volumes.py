# SPDX-License-Identifier: Apache-2.0
"""End the operations that a former service of this backend, or a lost message, has orphaned.

At the start, the operations in the service's work rows are ended by Cinder's own rules. A
resource without a work row may still have a message on the bus: so the rest is ended later,
when the messages of the start have been taken, here and by a scheduler.

Source: spec/volume-rpc §8.
"""

from __future__ import annotations

import datetime
import logging
import threading
from collections.abc import Callable
from typing import Any, Protocol

from oslo_utils import timeutils

from flows import engine
from flows.context import HostContext
from flows.errors import RunInterrupted
from flows.factories import Factory
from flows.host import cleanup, orphaned
from worker.db.records import Records
from worker.db.records.services.service import is_up

LOG = logging.getLogger(__name__)

GRACE = 60.0
"""Seconds in which the messages that waited on the bus are taken."""

PAUSE = 5.0
"""Seconds between two checks whether they have been taken."""

UP = 60.0
"""Seconds after its last heartbeat for which a scheduler counts as up."""

_EVERYTHING = {"service_id": None, "resource_type": None, "resource_id": None, "until": None}


class Operations(Protocol):
    """The operations of this process."""

    @property
    def has_capacity(self) -> bool:
        """Whether the next message on the bus is taken at once."""

    def start_submitted(self) -> None:
        """Run the operations that flows have submitted."""


class OrphanedVolumes:
    """Ends orphaned operations once, after each start.

    :param host: ``host@backend``.
    :param context: makes the context of a flow.
    """

    def __init__(
        self,
        records: Records,
        host: str,
        context: Callable[[], HostContext],
        operations: Operations,
        stopping: threading.Event,
    ) -> None:
        self._records = records
        self._host = host
        self._context = context
        self._operations = operations
        self._stopping = stopping

    def clean_up(self) -> None:
        """End the operations of this service's work rows."""
        self._run(cleanup.flow, **_EVERYTHING)

    def start(self) -> None:
        """Clean up, and end the rest on a thread of its own, after the grace period."""
        # Before the clean-up, which may wait for an outage: rows that change from now on
        # have an operation.
        since = timeutils.utcnow().replace(microsecond=0)
        self.clean_up()
        threading.Thread(
            target=self.settle, args=(since,), name="orphaned-volumes", daemon=True
        ).start()

    def settle(self, since: datetime.datetime) -> None:
        """Wait until the messages of the start are taken, then end the rest.

        :param since: rows that have changed after this time are not orphaned.
        """
        if self._stopping.wait(GRACE):
            return
        while not (self._operations.has_capacity and self._scheduled()):
            if self._stopping.wait(PAUSE):
                return
        self._run(orphaned.flow, before=since.isoformat())

    def _scheduled(self) -> bool:
        """Return whether a scheduler is up, which has cast on its messages, or there is none."""
        try:
            rows = self._records.services.list(binary="cinder-scheduler")
        except Exception as error:  # noqa: BLE001 - the next check repeats it
            LOG.info("orphaned operations of %s have to wait: %s", self._host, error)
            return False
        return not rows or any(is_up(row, UP) for row in rows)

    def _run(self, factory: Factory, **args: Any) -> None:
        try:
            outcome = engine.run_in_memory(factory, args, self._context())
        except RunInterrupted:
            LOG.info("orphaned operations of %s are ended after the next start", self._host)
            return
        finally:
            self._operations.start_submitted()
        if outcome.failure is not None:
            reason = outcome.failure.exception_str
            LOG.error("not all orphaned operations of %s were ended: %s", self._host, reason)
