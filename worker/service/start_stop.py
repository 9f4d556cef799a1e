# SPDX-License-Identifier: Apache-2.0
"""Start, run and stop the parts of one process of a service, in order."""

from __future__ import annotations

import functools
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable

from worker.compat import oslo_messaging as compat
from worker.conf.check.problems import EXIT_STATUS, ConfigError
from worker.rpc.consumer_check import ConsumingServer
from worker.rpc.server import Server
from worker.service.inputs import Inputs
from worker.service.parts import Parts
from worker.service.startup import bus_check, late_driver, slot_locks
from worker.service.startup.start_order import Turn

LOG = logging.getLogger(__name__)

BUS_WAIT = 15.0
"""Seconds that a start waits for the message bus before the service counts as ready."""

LATE_PAUSE = 1.0
"""Seconds between two looks at the driver of a host that leaves the work of its cluster."""

DRAINED = "drained by an operator, takes no operations until a restart"
"""Status text of the service."""


class Service:
    """One process of a service.

    :param build: builds the parts when the service starts, in the process that runs it.
    """

    def __init__(self, build: Callable[[Inputs], Parts], inputs: Inputs) -> None:
        self._build = build
        self._inputs = inputs
        self._hurried = False
        self._started: Parts | None = None
        self._servers: list[Server] = []  # that consume
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._reports = False
        self._ending = threading.Lock()
        self._ended = False
        self._drains = False

    @property
    def parts(self) -> Parts:
        """The parts of the service, which has been started."""
        assert self._started is not None, "the service has not been started"
        return self._started

    @property
    def built(self) -> Parts | None:
        """The parts of the service; None until they are built."""
        return self._started

    @property
    def consumes(self) -> bool:
        """Whether all its servers consume messages."""
        parts = self._started
        return parts is not None and len(self._servers) == len(parts.servers)

    @property
    def listeners(self) -> list[ConsumingServer]:
        """The consumers that have been started."""
        return [server.listening for server in list(self._servers)]

    @property
    def waits(self) -> str:
        """Text with the systems that its start waits for; empty if there are none."""
        return self._inputs.waits.shown

    @property
    def drains(self) -> bool:
        """Whether an operator has asked it to take no operations any more."""
        return self._drains

    @property
    def stops(self) -> bool:
        """Whether it has been asked to stop."""
        return self._inputs.stopping.is_set()

    def start(self, turn: Turn | None = None) -> None:
        """Build the parts, resume operations and consume messages.

        Until the driver is up, new operations fail and interrupted ones wait. A message bus
        that is away is waited for after the start.

        :param turn: among the processes of the service.
        :raises ProcessStopping: the process stops meanwhile.
        :raises SystemExit: a dependency cannot be used.
        """
        threading.Thread(target=self._show_waits, name="start", daemon=True).start()
        try:
            self._start(turn or Turn())
        finally:
            self._ready.set()
        threading.Thread(target=self._drain, name="drain", daemon=True).start()

    def _start(self, turn: Turn) -> None:
        parts = self._started = self._build(self._inputs)
        interrupted = self._recall(parts)
        parts.requests.start()
        parts.base.journal_watch.start()
        if interrupted:
            late_driver.watch(
                lambda: parts.backend.initialized,
                parts.others_serve,
                functools.partial(self._leave_and_exit, parts, interrupted),
                self._inputs.stopping,
            )
        with turn.set_up():
            is_up = parts.backend.attempt()
        if is_up:
            self._resume(parts)
        else:
            if interrupted and parts.others_serve():
                self._leave_operations(parts, interrupted)
                raise SystemExit(1)
            threading.Thread(target=self._set_up, args=(parts,), name="set-up", daemon=True).start()
        parts.intake.start()
        self._start_consuming(parts)
        if parts.shared_queue is not None:
            parts.shared_queue.start(self._inputs.stopping)
        if not self._inputs.stopping.is_set():
            self._inputs.waits.watch("the driver", lambda: not parts.backend.initialized)
            parts.reporter.start()
            self._reports = True

    def give_up_starting(self) -> None:
        """End every wait of a start; callable from another thread."""
        self._ready.set()
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
        self._inputs.draining.set()  # ends the thread that waits for it
        if self._drains:  # which waits for driver calls as long as they take
            _after(grace, self.make_urgent)
        with self._ending:
            if (parts := self._started) is None or self._ended:
                return
            self._ended = True
            self._stop(parts, grace)

    def _stop(self, parts: Parts, grace: float) -> None:
        slot = parts.base.identity.slot
        if self._drains:
            LOG.info("%s is drained: its operations stop at their next step", slot)
        else:
            LOG.info("%s stops, its operations have %.0f s to end", slot, grace)
        parts.operations.close()
        if self._drains:
            parts.operations.suspend()
        serving = list(self._servers)  # the others wait for the bus
        for server in serving:
            server.stop()
        for server in serving:
            if server.is_shared:  # other hosts get now all that it has not accepted
                server.listener.cleanup()
        ended = parts.operations.stop(grace, lambda: self._hurried)
        self._inputs.database.give_up()
        if self._reports:
            parts.reporter.stop()
        for server in serving:
            if not server.is_shared:
                server.listener.cleanup()
        if parts.base.slot is not None:
            parts.base.slot.end(parts.base.journal.slots.give_up, drained=ended)
        parts.base.close()
        LOG.info("%s stopped%s", slot, "" if ended else ", operations are left to resume")

    def _leave_operations(self, parts: Parts, count: int) -> None:
        """Give the slot up, for hosts whose driver is up.

        They would wait here for as long as the driver is down. The caller ends the process, and
        a supervisor starts it again.
        """
        LOG.warning(
            "%s leaves its %d interrupted operations to other hosts, since its driver is down, and"
            " starts again without them",
            *(parts.base.identity.slot, count),
        )
        self.stop(0)

    def _leave_and_exit(self, parts: Parts, count: int) -> None:
        """Give the slot up and end the process, while its main thread may hang in the driver."""
        self._leave_operations(parts, count)
        logging.shutdown()
        os._exit(1)

    def _drain(self) -> None:
        """Leave the work to other hosts when an operator asks; the process stays, and idles.

        If it ended, its supervisor would start it again.
        """
        self._inputs.draining.wait()
        if self._inputs.stopping.is_set():
            return
        self._drains = True
        self.stop(threading.TIMEOUT_MAX)
        LOG.warning("drained: this process takes no operations until it is restarted")
        while True:
            self._inputs.heartbeat(DRAINED)
            time.sleep(1.0)

    def _start_consuming(self, parts: Parts) -> None:
        """Start the servers on a thread of their own, and wait for them, but not for long."""
        consuming = threading.Thread(
            target=self._consume, args=(parts,), name="consuming", daemon=True
        )
        consuming.start()
        until, stopping = time.monotonic() + BUS_WAIT, self._inputs.stopping
        while consuming.is_alive() and time.monotonic() < until and not stopping.is_set():
            consuming.join(0.1)
        self._ready.set()
        if self._failure is not None:
            raise self._failure
        if consuming.is_alive() and not stopping.is_set():
            LOG.warning("%s waits for the message bus", parts.base.identity.slot)

    def _consume(self, parts: Parts) -> None:
        """Start the servers, which waits for the message bus."""
        identity, is_up = parts.base.identity, parts.backend.initialized
        first = [one for one in parts.servers if is_up or not one.is_shared]
        if not self._listen(first):
            return
        parts.base.consumers.start([server.listening for server in first])
        LOG.info("%s takes operations for %s", identity.binary, identity.slot)
        if late := [one for one in parts.servers if one not in first]:
            work = functools.partial(self._consume_late, parts, late)
            threading.Thread(target=work, name="consuming-late", daemon=True).start()

    def _consume_late(self, parts: Parts, servers: list[Server]) -> None:
        """Start the servers of the queue that the hosts of a cluster share.

        A host whose driver is down fails each message at once: it would take most of them from
        the hosts that could do the work.
        """
        identity, logged = parts.base.identity, False
        while self._leaves_work(parts):
            if not logged:
                text = "%s leaves the queue of %s to other hosts: its driver is down"
                LOG.warning(text, identity.slot, identity.cluster)
                logged = True
            if self._inputs.stopping.wait(LATE_PAUSE):
                return
        if self._listen(servers):
            for server in servers:
                parts.base.consumers.add(server.listening)
            LOG.info("%s consumes the queue of %s", identity.slot, identity.cluster)

    @staticmethod
    def _leaves_work(parts: Parts) -> bool:
        """Return whether other hosts can do the work of a cluster, and this one cannot."""
        return not parts.backend.initialized and parts.others_serve()

    def _listen(self, servers: Iterable[Server]) -> bool:
        """Start servers; return whether they receive messages."""
        try:
            with self._inputs.waits.on("the message bus"):
                for server in servers:
                    server.start()
                    self._servers.append(server)
        except compat.DeclarationRefused as error:
            self._fail(bus_check.refused_declaration(self._inputs.conf, error))
            return False
        except BaseException as error:  # noqa: BLE001 - raised by the start, or logged
            self._fail(error)
            return False
        return True

    def _fail(self, error: BaseException) -> None:
        """Have the start raise an error, or end the process if it has ended."""
        if not self._ready.is_set() or self._inputs.stopping.is_set():
            self._failure = error
            return
        if isinstance(error, ConfigError):
            LOG.error("%s", error)
        else:
            LOG.critical("the process ends in an unexpected error", exc_info=error)
        logging.shutdown()
        os._exit(EXIT_STATUS if isinstance(error, ConfigError) else 2)

    def _show_waits(self) -> None:
        """Show that the process lives while a start waits for another system."""
        while not self._ready.wait(1.0):
            if self._inputs.waits.shown:
                self._inputs.alive()

    @staticmethod
    def _recall(parts: Parts) -> int:
        """Take over interrupted operations, which new ones on the same resources wait for.

        Returns how many there are.
        """
        base, identity = parts.base, parts.base.identity
        if base.slot is not None and base.slot.lease.was_lost:
            LOG.warning(
                "%s had ended as its lease could not be renewed; its operations count as stopped"
                " in order",
                identity.slot,
            )
            base.journal_retry.until_available(lambda: base.journal.suspend(identity.slot))
        if identity.first:
            names = (identity.host, identity.slot, identity.slots)
            slot_locks.adopt(base.journal, base.slot_locks, *names)
        if count := parts.operations.resumed.load_unfinished():
            LOG.info("%d interrupted operations resume", count)
        return count

    @staticmethod
    def _resume(parts: Parts) -> None:
        """Resume interrupted operations concurrently with new ones."""
        parts.operations.resumed.start()
        if parts.adopter is not None:
            parts.adopter.start()
        if parts.base.identity.first:
            parts.recovery.start()

    def _set_up(self, parts: Parts) -> None:
        parts.backend.initialize(self._inputs.stopping)
        if parts.backend.initialized:
            self._resume(parts)
            parts.backend.request_report()


def _after(seconds: float, work: Callable[[], None]) -> None:
    timer = threading.Timer(min(seconds, threading.TIMEOUT_MAX), work)
    timer.daemon = True
    timer.start()
