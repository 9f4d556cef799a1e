# SPDX-License-Identifier: Apache-2.0
"""Synchronize rows and exports with the driver when a backend starts.

Only the corrections of rows precede the first operation. The exports are restored
concurrently with operations, because this takes time for each volume in use: the
volume's lock keeps both apart.

Of a cluster, each host does this for the volumes that it has created itself. The other hosts do it
for theirs, or serve them: so an export that fails here is logged, and the volume is left as it is.

Source: spec/service §4, steps 8 and 9.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from oslo_utils import timeutils

from drivers.interface.optional import Reporting
from drivers.interface.records import Record
from drivers.interface.volume import VolumeDriver
from flows.errors import NotFound, ProcessStopping
from flows.host import export
from flows.statuses import VolumeStatus
from worker.db.criteria import BackendRows
from worker.db.records import Records
from worker.execution.resource_queue import ResourceQueue
from worker.rpc import topics
from worker.rpc.request_context import RequestContext

LOG = logging.getLogger(__name__)

AT_ONCE = 4
"""Exports that are restored at the same time."""


_WITHOUT_DATA = frozenset(
    {
        VolumeStatus.CREATING,
        VolumeStatus.DOWNLOADING,
        VolumeStatus.MANAGING,
        VolumeStatus.ERROR,
        VolumeStatus.ERROR_MANAGING,
        VolumeStatus.ERROR_MANAGING_DELETING,
    }
)
"""Statuses of volumes that may have no object on the backend."""


def has_data(records: Records, backend: BackendRows) -> bool:
    """Return whether rows say that the backend holds the data of a volume."""
    return any(_has_object(row) for row in records.volumes.on_host(backend))


def _has_object(volume: Record) -> bool:
    if volume.status in (VolumeStatus.DELETING, VolumeStatus.ERROR_DELETING):
        return volume.launched_at is not None  # others may be deleted without ever being made
    return volume.status not in _WITHOUT_DATA


def correct(records: Records, driver: VolumeDriver, backend: BackendRows) -> None:
    """Store the corrections of rows of a driver that implements ``update_provider_info``."""
    if type(driver).update_provider_info is Reporting.update_provider_info:
        return
    volumes = list(records.volumes.on_host(backend))
    snapshots = list(records.snapshots.on_host(backend))
    _store(driver.update_provider_info(volumes, snapshots), records)


class StartupSync:
    """Complete the hosts of rows and restore exports, concurrently with operations.

    :param backend: the names of the backend.
    :param stopping: ends it early; the next start begins again.
    """

    def __init__(
        self,
        records: Records,
        queue: ResourceQueue,
        backend: BackendRows,
        stopping: threading.Event,
    ) -> None:
        self._records = records
        self._queue = queue
        self._host = backend.host
        self._shared = backend.cluster is not None
        self._stopping = stopping

    def start(self, driver: VolumeDriver) -> None:
        """Start on a thread of its own."""
        threading.Thread(target=self.run, args=(driver,), name="startup-sync", daemon=True).start()

    def run(self, driver: VolumeDriver) -> None:
        """Add the pool to hosts without one, then restore the exports of volumes in use."""
        watch = timeutils.StopWatch().start()
        try:
            self._complete_hosts(driver)
            count = self._export_all(driver)
        except ProcessStopping as error:
            LOG.info("the exports of %s are checked at the next start: %s", self._host, error)
            return
        except Exception:
            LOG.exception("not all exports of %s were checked", self._host)
            return
        if count:
            LOG.info("exports of %d volumes checked in %.1f s", count, watch.elapsed())

    def _complete_hosts(self, driver: VolumeDriver) -> None:
        for volume in self._until_stopped(self._records.volumes.without_pool_on_host(self._host)):
            if pool := driver.get_pool(volume):
                host = topics.append_pool(volume.host, pool)
                self._records.volumes.update(volume.id, host=host)

    def _export_all(self, driver: VolumeDriver) -> int:
        volumes = self._until_stopped(self._records.volumes.in_use_on_host(self._host))
        count = 0
        with ThreadPoolExecutor(AT_ONCE, "startup-sync") as pool:
            for _done in pool.map(lambda volume: self._export(driver, volume.id), volumes):
                count += 1
        return count

    def _until_stopped(self, volumes: Iterator[Record]) -> Iterator[Record]:
        for volume in volumes:
            if self._stopping.is_set():
                return
            yield volume

    def _export(self, driver: VolumeDriver, volume_id: str) -> None:
        with self._queue.turn([volume_id], owner="restore of exports at the start"):
            try:
                volume = self._records.volumes.get(volume_id)
            except NotFound:
                return
            if export.is_exported(volume):
                volumes, admin = self._records.volumes, RequestContext.admin()
                export.restore(volumes, driver, admin, volume, shared=self._shared)


def _store(answer: Any, records: Records) -> None:
    volume_updates, snapshot_updates = answer or (None, None)
    for updates, rows in (
        (volume_updates, records.volumes),
        (snapshot_updates, records.snapshots),
    ):
        for update in _entries(updates):
            rows.update(update["id"], **{k: v for k, v in update.items() if k != "id"})


def _entries(updates: Any) -> Iterable[dict[str, Any]]:
    return updates if isinstance(updates, list) else ()
