# SPDX-License-Identifier: Apache-2.0
"""A service without a bus: the real journal, database, intake and executor, a stand-in driver.

Each recorded operation has a service of its own, with its own host, slot, row in
``services`` and driver. The services of a version share one journal and one database.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from taskflow.persistence.models import FlowDetail

from drivers.interface.records import Record
from flows.context import BackupContext, Options, VolumeServiceContext
from tests.dispatchers import backup_dispatcher, volume_dispatcher
from tests.journals.doubles import (
    Attacher,
    BackupServices,
    BackupStore,
    Driver,
    Keys,
    VolumeServices,
)
from tests.unit.flows import cached_images
from tests.unit.flows.world.doubles import Noted
from tests.unit.flows.world.images import Images
from worker.adapters.record_cache import RecordCache
from worker.db import sync
from worker.db.database import Database
from worker.db.records import Records
from worker.endpoints.backup import RPC_VERSION as BACKUP_VERSION
from worker.endpoints.volume import RPC_VERSION as VOLUME_VERSION
from worker.execution.concurrency import Limiter
from worker.execution.executor import Executor
from worker.execution.intake import Intake
from worker.execution.pools.operation_pool import OperationPool
from worker.execution.pools.pool_limits import PoolSize
from worker.execution.rejections.rejected import RejectedMessages
from worker.execution.resource_queue import ResourceQueue
from worker.execution.retry import JournalRetry
from worker.execution.slot_journal import SlotJournal
from worker.execution.timeouts import OperationTimeouts
from worker.journal.journal import Journal
from worker.locks import Locks
from worker.rpc.request_context import RequestContext

TIMEOUT = 60.0
"""Seconds after which an operation that has not ended is stuck."""

MAX_RESUMES = 3


class Databases:
    """The journal and the database of all services, in a directory.

    Files of an earlier version are upgraded, as the start of a service and
    ``holdfast db sync`` do.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.volumes = folder / "volumes"
        for one in (self.volumes, folder / "locks"):
            one.mkdir(exist_ok=True)
        self.database = Database(f"sqlite:///{folder}/cinder.sqlite", sqlite_synchronous=False)
        sync.sync(self.database)
        self.records = Records(self.database)
        self.reader = sqlite3.connect(folder / "cinder.sqlite", isolation_level=None)
        self.reader.row_factory = sqlite3.Row
        self.journal = Journal(f"sqlite:///{folder}/journal.sqlite")
        self.journal.upgrade()
        self.locks = Locks(f"file://{folder}/locks", "h1")
        self.locks.start()

    def close(self) -> None:
        self.locks.stop()
        self.journal.close()
        self.reader.close()
        self.database.dispose()


class Service:
    """The service of one operation.

    :param kind: ``volume`` or ``backup``.
    :param name: of its backend, or of its host for a backup service.
    :param project: the project whose operation it runs.
    """

    node = "h1"

    def __init__(self, databases: Databases, kind: str, name: str, project: str) -> None:
        self.databases, self.kind, self.project = databases, kind, project
        self.host = f"{self.node}@{name}" if kind == "volume" else name
        self.slot = f"{kind} {self.host}/0"
        self.records, self.journal = databases.records, databases.journal
        binary = f"cinder-{kind}"
        self.row = self.records.services.ensure(
            host=self.host,
            binary=binary,
            topic=binary,
            availability_zone="nova",
            rpc_version=VOLUME_VERSION if kind == "volume" else BACKUP_VERSION,
            object_version="1.39",
        )
        self.driver, self.store = Driver(databases.volumes), BackupStore()
        self.images, self.scheduler = Images(), Noted()
        self.options = Options()
        self.stopping = threading.Event()
        own = SlotJournal(self.journal, JournalRetry(self.stopping), self.slot)
        self.executor = self._executor(own)
        self.operations = self._operations(own)
        self.intake = Intake(
            volume_dispatcher(self.host) if self.kind == "volume" else backup_dispatcher(),
            own,
            self.operations,
            RejectedMessages(own, lambda: 0),
            stopping=self.stopping,
        )

    def state(self) -> dict[str, Any]:
        """Return the state that is not in the databases, without empty parts."""
        images = self.images
        found = {
            **self.driver.state(),
            "backups": sorted(self.store.objects),
            "images": {
                known: {name: value for name, value in image.items() if name != "data"}
                for known, image in images.service.images.items()
                if known != "i1"
            },
            "aside": sorted(images.aside),
        }
        return {name: value for name, value in found.items() if value}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over a state."""
        self.driver.restore(state)
        self.store.objects = set(state.get("backups", ()))
        self.images.service.images |= {k: dict(v) for k, v in state.get("images", {}).items()}
        self.images.aside = set(state.get("aside", ()))

    def resume(self, flow: str) -> int:
        """Run the interrupted flow of this service as a start of the service does.

        :returns: how many operations were taken over.
        """
        taken = self.operations.resumed.load_unfinished()
        self.operations.resumed.start()
        self.wait(flow)
        return taken

    def take_over(self, detail: FlowDetail) -> int:
        """Run a flow that had ended, at an operator's request, and wait for its end.

        :returns: how many operations were taken over.
        """
        self.operations.resumed.start()
        taken = self.operations.resumed.schedule(detail)
        self.wait(str(detail.uuid))
        return int(taken)

    def wait(self, flow: str) -> None:
        """Wait until a flow has ended, in whatever way."""
        until = time.monotonic() + TIMEOUT
        while self.operations.find(flow) is not None:
            assert time.monotonic() < until, f"flow {flow} does not end"
            time.sleep(0.0005)

    def close(self) -> None:
        self.operations.stop(0.0)

    def _executor(self, own: SlotJournal) -> Executor:
        return Executor(
            own.journal,
            own.retry,
            self._context if self.kind == "volume" else self._backup_context,
            Limiter(),
            max_resumes=lambda: MAX_RESUMES,
            timeouts=OperationTimeouts(),
        )

    def _operations(self, own: SlotJournal) -> OperationPool:
        return OperationPool(
            self.executor,
            own,
            ResourceQueue(self.databases.locks, self.stopping),
            size=PoolSize(1),
            stopping=self.stopping,
        )

    def _context(self, request: RequestContext, resumed: bool) -> VolumeServiceContext:
        records: Any = self.records
        others: Any = Noted()
        ctx = VolumeServiceContext(
            request=request,
            backend=Backend(self, self.driver),
            **records.of_flows(self.row),
            groups=records.by_group_kind,
            attachments=records.attachments,
            quotas=records.quotas,
            initiators=records.initiators,
            notifier=others,
            scheduler=self.scheduler,  # type: ignore[arg-type]
            images=self.images,
            keys=Keys(),
            backup_service=BackupServices(),  # type: ignore[arg-type]
            service=ServiceRow(self),
            operations=Operations(self),
            image_cache=records.image_cache,
            locks=cached_images.Locks(),
            host=records.on_host(self.host),
            volume_service=self._volume_services(),
            attacher=Attacher(),
            compute=others,
            types=records.volume_types,
            services=records.services,
            options=self.options,
            resumed=resumed,
            stopping=self.stopping,
        )
        return RecordCache().around(ctx)

    def _backup_context(self, request: RequestContext, resumed: bool) -> BackupContext:
        records: Any = self.records
        others: Any = Noted()
        return BackupContext(
            request=request,
            backend=Backend(self, self.store),  # type: ignore[arg-type]
            **records.of_flows(self.row),
            notifier=others,
            volume_service=self._volume_services(),
            peers=others,
            attacher=Attacher(),
            resumed=resumed,
            stopping=self.stopping,
        )

    def _volume_services(self) -> Any:
        return VolumeServices(self.records, self.driver.objects, self.databases.volumes)


class Backend:
    """The configured backend, of volumes or of backups."""

    zone = "nova"
    service = "vault"

    def __init__(self, service: Service, driver: Any) -> None:
        self.name = service.host.rpartition("@")[2]
        self.host = service.host
        self.cluster: str | None = None
        self.service_uuid = service.row.uuid
        self.request_report: Callable[[], None] = lambda: None
        self._driver = driver

    def require_driver(self) -> Any:
        return self._driver

    any_driver = require_driver

    def driver_for(self, request: Any, backup: Any) -> Any:
        return self._driver

    def stats(self) -> Mapping[str, Any]:
        return {"storage_protocol": "iSCSI"}

    def initiator_namespace(self) -> str:
        return self.name

    def is_this_store(self, service: str | None) -> bool:
        return True


class ServiceRow:
    """The row in ``services``; the service has one process."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def get(self) -> Record:
        row = self._service.records.services.get(self._service.row.id)
        assert row is not None
        return row

    def update(self, **columns: Any) -> None:
        self._service.records.services.update(self._service.row.id, **columns)

    def update_all(self, **columns: Any) -> None:
        self.update(**columns)

    def spread(self, **columns: Any) -> None: ...


class Operations:
    """No other operations; a deletion is carried out at once."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def in_progress(self) -> set[str]:
        return set()

    def delete_volume(self, volume: Record) -> None:
        self._service.driver.objects.discard(volume.name)
        self._service.records.volumes.destroy(volume.id)
