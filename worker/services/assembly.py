# SPDX-License-Identifier: Apache-2.0
"""Put one backend's process together: database, driver, journal, locks, bus.

Used by the service and by the demo, so that both run the same thing.
"""

from __future__ import annotations

import datetime
import logging
import os
import threading
import uuid
from collections.abc import Callable
from typing import Any, cast

from oslo_config import cfg
from oslo_db import exception as db_exception
from oslo_utils import timeutils

from drivers.interface.volume import VolumeDriver
from flows.context import Context, Options
from flows.engine import Observer
from flows.errors import Unavailable
from worker.conf import backends
from worker.db.engine import Database
from worker.db.records import Records
from worker.endpoints.volume import RPC_VERSION, VolumeEndpoint
from worker.journal import Journal
from worker.locks import Locks
from worker.persistence import JournalError
from worker.rpc import topics, transport
from worker.rpc.clients.scheduler import SchedulerClient
from worker.rpc.context import RequestContext
from worker.rpc.dispatch import Dispatcher
from worker.rpc.notifier import Notifier
from worker.rpc.server import Server
from worker.services import images, inventory, loglevels
from worker.services.backend import Backend
from worker.services.desk import Desk
from worker.services.execution import Execution
from worker.services.inventory import Inventory
from worker.services.manageable import Manageable
from worker.services.patience import Patience
from worker.services.rejects import Rejects
from worker.services.remembered import Remembered
from worker.services.reports import Reporter
from worker.services.runner import Runner
from worker.services.supervision import ANY, Limits
from worker.services.turnstile import Turnstile
from worker.services.wishes import Wishes

LOG = logging.getLogger(__name__)

BINARY = TOPIC = "cinder-volume"
OBJECT_VERSION = "1.39"

DATABASE_PAUSE = 5.0
"""Seconds between two looks for a database that is away at the start."""


class VolumeService:
    """One process of one backend.

    :param name: the backend's section.
    :param worker_id: the number of this process among those of the backend.
    :param beat: called about every second while the service is alive.
    :param observer: told of every change of a task's state.
    """

    def __init__(
        self,
        conf: cfg.ConfigOpts,
        name: str,
        worker_id: int = 0,
        beat: Callable[[], None] = lambda: None,
        observer: Observer | None = None,
    ) -> None:
        driver_class, configuration = backends.configure(conf, name)
        node = configuration.safe_get("backend_host") or conf.host
        self.host = topics.join(node, name)
        self.slot = f"{self.host}/{worker_id}"
        self._conf, self._name, self._node = conf, name, node
        self._first = worker_id == 0
        self._configuration = configuration
        self._stopping = threading.Event()
        self._hurried = False
        self.database = Database.from_conf(conf)
        self.records = Records.from_conf(conf, self.database)
        self._locks = Locks(conf.coordination.backend_url, f"{self.slot}-{os.getpid()}")
        self.images = images.make(conf)
        self._turnstile = Turnstile()
        self.backend = Backend(
            name,
            self.host,
            lambda: driver_class(configuration, host=self.host),
            configuration,
            self._driver_up,
            self._turnstile,
        )
        self._options = Options(
            no_snapshot_gb_quota=conf.no_snapshot_gb_quota,
            report_discard_supported=bool(configuration.safe_get("report_discard_supported")),
        )
        self._beat = beat
        self._observer = observer
        self._servers: list[Server] = []

    def start(self) -> None:
        """Come up and consume; a driver that does not come up is tried again meanwhile."""
        conf = self._conf
        self._open_journal()
        self._locks.start()
        self._hold_slot()
        self._transport = transport.get(conf, slots=conf.executor_thread_pool_size)
        self._scheduler = SchedulerClient(self._transport)
        self._notifier = Notifier(conf, self._transport, host=self.host)
        self._wait_for_database()
        patience = Patience(self._stopping)
        execution = self._make_execution(patience)
        self.runner = Runner(
            Dispatcher(
                VolumeEndpoint(self, Manageable(self.records, self.backend, self.host)), RPC_VERSION
            ),
            self.journal,
            self._locks,
            execution,
            slot=self.slot,
            size=conf.executor_thread_pool_size,
            patience=patience,
            stopping=self._stopping,
            rejects=Rejects(self.journal, patience, lambda: conf.journal.keep_rejected),
        )
        self._recall()
        wishes = Wishes(self.journal, execution, self.runner.job, self.runner.take_over)
        Desk(self.journal, self.slot, wishes, self._stopping).start()
        self.reporter = self._make_reporter()
        if self.backend.attempt():
            self._go_on()
        else:
            threading.Thread(target=self._come_up, name="set-up", daemon=True).start()
        self._serve()
        self.reporter.start()
        LOG.info("%s takes operations for %s", BINARY, self.slot)

    def give_up_starting(self) -> None:
        """Stop waiting for what a start waits for."""
        self._stopping.set()
        self.database.give_up()

    def hurry(self) -> None:
        """End the grace that a stop gives; callable from a signal handler."""
        self._hurried = True

    def stop(self, grace: float) -> None:
        """Consume no more, let operations end, give up what is held.

        :param grace: seconds after which what still runs is suspended.
        """
        self._stopping.set()
        LOG.info("%s stops, its operations have %.0f s to end", self.slot, grace)
        self.runner.close_intake()
        for server in self._servers:
            server.stop()
        ended = self.runner.stop(grace, lambda: self._hurried)
        self.database.give_up()
        self.reporter.stop()
        self._notifier.close()
        for server in self._servers:
            server.listener.cleanup()
        self._transport.cleanup()
        self._locks.stop()
        self.journal.close()
        LOG.info("%s stopped%s", self.slot, "" if ended else ", operations are left to resume")

    def capabilities(self, discover: bool) -> dict[str, Any]:
        """Return what the driver can do, fetched anew when asked to discover."""
        self.backend.require_driver()
        return self.reporter.capabilities() if discover else dict(self.backend.stats())

    def publish_capabilities(self) -> None:
        """Report soon, unless the driver is not up."""
        if self.backend.initialized:
            self.backend.publish_soon()

    def secure_file_operations_enabled(self) -> bool:
        """Return what the driver says."""
        return bool(self.backend.require_driver().secure_file_operations_enabled())

    def set_log_levels(self, prefix: str, level: str) -> None:
        """Set the level of loggers by prefix."""
        loglevels.set_levels(prefix, level)

    def log_levels(self, prefix: str) -> dict[str, str]:
        """Return levels of loggers by prefix."""
        return loglevels.levels(prefix)

    def _context(self, request: RequestContext, resumed: bool) -> Context:
        records = self.records
        return Context(
            request=request,
            backend=self.backend,
            volumes=cast(Any, Remembered(records.volumes)),
            snapshots=cast(Any, Remembered(records.snapshots)),
            groups=records.by_group_kind,
            attachments=records.attachments,
            quotas=records.quotas,
            workers=records.workers,
            messages=records.messages,
            initiators=records.initiators,
            notifier=self._notifier,
            scheduler=self._scheduler,
            images=self.images,
            options=self._options,
            resumed=resumed,
            stopping=self._stopping,
            waiting=self._turnstile.outside,
        )

    def _register(self) -> None:
        zone = self._configuration.safe_get("backend_availability_zone")
        self._zone = zone or self._conf.storage_availability_zone
        row = self.records.services.ensure(
            host=self.host,
            binary=BINARY,
            topic=TOPIC,
            availability_zone=self._zone,
            rpc_version=RPC_VERSION,
            object_version=OBJECT_VERSION,
        )
        self.backend.service_uuid = row.uuid
        self.records.workers.service_id = row.id

    def _wait_for_database(self) -> None:
        while True:
            try:
                self._register()
                return
            except db_exception.DBError as error:
                where, why = self.database.shown, str(error).splitlines()[0]
                LOG.error("%s cannot be used: %s; run: holdfast db sync", where, why)
                self._locks.stop()
                raise SystemExit(1) from error
            except Unavailable as error:
                LOG.warning("the start waits for the database: %s", error)
                if self._stopping.wait(DATABASE_PAUSE):
                    raise SystemExit(0) from error

    def _driver_up(self, driver: VolumeDriver) -> None:
        if self._first:
            inventory.correct(self.records, driver, self.host)

    def _come_up(self) -> None:
        self.backend.initialize(self._stopping)
        if self.backend.initialized:
            self._go_on()
            self.backend.publish_soon()

    def _go_on(self) -> None:
        """Resume what was cut short and bring exports back, beside what now comes."""
        self.runner.resume()
        if self._first:
            exports = Inventory(self.records, self._locks, self.host, self._stopping)
            exports.start(self.backend.require_driver())

    def _make_execution(self, patience: Patience) -> Execution:
        conf, limits = self._conf, Limits.of(self._configuration)
        known = {ANY, *Dispatcher.journalled(VolumeEndpoint)}
        for name in sorted(limits.timeouts.keys() - known):
            LOG.warning("operation_timeout of %s: there is no operation %s", self._name, name)
        return Execution(
            self.journal,
            patience,
            self._context,
            self._turnstile,
            max_resumes=lambda: conf.journal.max_resumes,
            limits=limits,
            take_over=lambda detail: self.runner.take_over(detail),
            observer=self._observer,
        )

    def _adopt(self) -> None:
        """Take over the flows of processes that there were once, before ``processes`` shrank."""
        served = {f"{self.host}/{n}" for n in range(self._configuration.processes)}
        for slot in sorted(set(self.journal.slots(f"{self.host}/")) - served):
            if self._locks.try_hold(_lock_of(slot)):
                self.journal.adopt(slot, self.slot)
                LOG.info("%s takes over the operations of %s", self.slot, slot)

    def _recall(self) -> None:
        if self._first:
            self._adopt()
        count = self.runner.recall()
        if count:
            LOG.info("%d operations that were cut short go on", count)

    def _serve(self) -> None:
        for target in topics.volume_targets(self._node, self._name, self._conf.cluster):
            server = Server(self._transport, target, self.runner)
            server.start()
            self._servers.append(server)

    def _make_reporter(self) -> Reporter:
        configuration, conf = self._configuration, self._conf
        return Reporter(
            self.backend,
            self._heartbeat,
            self._send_report,
            lambda: self.records.volumes.allocated_by_pool(self.host),
            report_interval=conf.report_interval,
            stats_interval=conf.backend_stats_polling_interval,
            extra=configuration.extra_capabilities,
            filter_function=configuration.filter_function,
            goodness_function=configuration.goodness_function,
            beat=self._beat,
            tidy=self._tidy,
        )

    def _tidy(self) -> None:
        """Forget journal entries that ended long ago."""
        now, kept = timeutils.utcnow(), self._conf.journal
        finished = now - datetime.timedelta(hours=kept.keep_finished)
        failed = now - datetime.timedelta(days=kept.keep_failed)
        count = self.journal.prune(finished, failed)
        self.journal.requests.prune(finished)
        self.journal.prune_rejected(kept.keep_rejected)
        LOG.debug("%d journal entries that ended long ago were forgotten", count)

    def _heartbeat(self) -> None:
        if self._first and not self.records.services.heartbeat(
            host=self.host, binary=BINARY, availability_zone=self._zone
        ):
            LOG.warning("the services row of %s was gone, it is made anew", self.host)
            self._register()

    def _send_report(self, capabilities: dict[str, Any]) -> None:
        self._scheduler.report(RequestContext.admin(), self.host, capabilities)

    def _open_journal(self) -> None:
        try:
            self.journal = Journal(self._conf.journal.connection)
            self.journal.upgrade()
        except JournalError as error:
            # Without it nothing may be acknowledged, so there is nothing to start for.
            LOG.error("[journal] connection cannot be used: %s", error)
            raise SystemExit(1) from error

    def _hold_slot(self) -> None:
        """Become the one owner of this slot's flows."""
        told = False
        while not self._locks.try_hold(_lock_of(self.slot)):
            if not told:
                LOG.warning("another process still serves %s; waiting for its end", self.slot)
                told = True
            if self._stopping.wait(0.5):
                raise SystemExit(0)


def _lock_of(slot: str) -> str:
    return "slot-" + uuid.uuid5(uuid.NAMESPACE_URL, slot).hex
