# SPDX-License-Identifier: Apache-2.0
"""Start, run and stop the parts of one process of a service, in order."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from worker.service import slots
from worker.service.base import Inputs, Parts

LOG = logging.getLogger(__name__)


class Service:
    """One process of a service.

    :param build: builds the parts when the service starts, in the process that runs it.
    """

    def __init__(self, build: Callable[[Inputs], Parts], inputs: Inputs) -> None:
        self._build = build
        self._inputs = inputs
        self._hurried = False
        self._started: Parts | None = None

    @property
    def parts(self) -> Parts:
        """The parts of the service, which has been started."""
        assert self._started is not None, "the service has not been started"
        return self._started

    def start(self) -> None:
        """Build the parts, resume operations and consume messages.

        Until the driver is up, new operations fail and interrupted ones wait.

        :raises ProcessStopping: the process stops meanwhile.
        :raises SystemExit: a dependency cannot be used.
        """
        parts = self._started = self._build(self._inputs)
        identity = parts.base.identity
        self._recall(parts)
        parts.requests.start()
        parts.base.journal_watch.start()
        if parts.backend.attempt():
            self._resume(parts)
        else:
            threading.Thread(target=self._set_up, args=(parts,), name="set-up", daemon=True).start()
        parts.intake.start()
        for server in parts.servers:
            server.start()
        parts.base.consumers.start([server.listening for server in parts.servers])
        parts.reporter.start()
        LOG.info("%s takes operations for %s", identity.binary, identity.slot)

    def give_up_starting(self) -> None:
        """End every wait of a start; callable from another thread."""
        self._inputs.stopping.set()
        self._inputs.database.give_up()

    def make_urgent(self) -> None:
        """End the grace period of a stop; callable from a signal handler."""
        self._hurried = True

    def stop(self, grace: float) -> None:
        """Consume no messages any more, let operations end, close all connections.

        :param grace: seconds after which running operations are suspended.
        """
        self._inputs.stopping.set()
        if (parts := self._started) is None:
            return
        slot = parts.base.identity.slot
        LOG.info("%s stops, its operations have %.0f s to end", slot, grace)
        parts.operations.close()
        for server in parts.servers:
            server.stop()
        ended = parts.operations.stop(grace, lambda: self._hurried)
        self._inputs.database.give_up()
        parts.reporter.stop()
        for server in parts.servers:
            server.listener.cleanup()
        parts.base.close()
        LOG.info("%s stopped%s", slot, "" if ended else ", operations are left to resume")

    @staticmethod
    def _recall(parts: Parts) -> None:
        """Take over interrupted operations, which new ones on the same resources wait for."""
        base, identity = parts.base, parts.base.identity
        if identity.first:
            slots.adopt(base.journal, base.locks, identity.host, identity.slot, identity.slots)
        if count := parts.operations.load_unfinished():
            LOG.info("%d interrupted operations resume", count)

    @staticmethod
    def _resume(parts: Parts) -> None:
        """Resume interrupted operations concurrently with new ones."""
        parts.operations.resume()
        if parts.base.identity.first:
            parts.recovery.start()

    def _set_up(self, parts: Parts) -> None:
        parts.backend.initialize(self._inputs.stopping)
        if parts.backend.initialized:
            self._resume(parts)
            parts.backend.request_report()
