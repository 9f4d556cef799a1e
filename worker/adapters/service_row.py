# SPDX-License-Identifier: Apache-2.0
"""Where the service stands: its own row, and what a failover makes of its processes.

Implements :class:`flows.service_records.ServiceRow`. The driver of each process has to know which
target of replication is used; the process that fails over tells the others.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from taskflow import states

from drivers.interface.records import Record
from flows.errors import NotFound
from flows.host import failover
from flows.replication import SWITCHED
from worker.backends.volume_backend import VolumeBackend
from worker.db.records import Records
from worker.journal.journal import Journal
from worker.rpc import objects
from worker.rpc.clients.sender import BusUnavailable
from worker.rpc.clients.volume import VolumeClient
from worker.rpc.context import RequestContext

LOG = logging.getLogger(__name__)

_SPREAD = ("replication_status", "active_backend_id", "disabled", "disabled_reason")
"""What others are told; nothing else is taken from the bus."""

_UNFINISHED = sorted(
    {
        *(states.PENDING, states.RUNNING, states.REVERTING, states.RESUMING),
        *(states.SUSPENDING, states.SUSPENDED),
    }
)
_NAMES_OTHERS = ("do_cleanup",)
_KNOWN = 1_000_000
"""How many operations under way are looked through."""


class BackendServiceRow:
    """The row in ``services`` of one backend's service.

    :param processes: how many serve the backend.
    :param client: reaches the others; made when it is first needed.
    :param journal: what is under way; there when it is first asked.
    :param submit: takes a message as if it had come off the bus, and its context.
    """

    def __init__(
        self,
        records: Records,
        backend: VolumeBackend,
        processes: Callable[[], int],
        client: Callable[[], VolumeClient],
        journal: Callable[[], Journal],
        submit: Callable[[dict[str, Any], dict[str, Any]], None],
        stopping: threading.Event,
    ) -> None:
        self._records = records
        self._backend = backend
        self._processes = processes
        self._client = client
        self._journal = journal
        self._submit = submit
        self._stopping = stopping
        self.service_id: int | None = None
        self._given: str | None = None

    def get(self) -> Record:
        """Return the row as it is now."""
        row = self._records.services.get(self.service_id) if self.service_id is not None else None
        if row is None:
            raise NotFound(f"the services row of {self._backend.host} is gone")
        return row

    def update(self, **columns: Any) -> None:
        """Write columns."""
        if self.service_id is not None:
            self._records.services.update(self.service_id, **columns)

    def spread(self, **columns: Any) -> None:
        """Tell the other processes, and a cluster's other hosts."""
        row = self.get()
        told = {name: columns[name] for name in _SPREAD if name in columns}
        self._given = columns.get("active_backend_id") or None
        address = row.cluster_name or self._backend.host
        if row.cluster_name:
            self._records.services.update_cluster(row.cluster_name, row.binary, **told)
        elif self._processes() == 1:
            return
        try:
            admin = RequestContext.admin()
            self._client().cast(admin, address, "failover_completed", updates=told)
        except BusUnavailable as error:
            LOG.error("other processes of %s do not know of the failover: %s", address, error)

    def underway(self) -> set[str]:
        """Return the ids of what operations in the journal are about that have not ended."""
        entries = self._journal().entries(among=_UNFINISHED, limit=_KNOWN)
        found: set[str] = set()
        for entry in entries:
            if entry.method in _NAMES_OTHERS:
                continue  # what it names is what it is to look at
            found |= {str(one) for one in (entry.meta.get("resource") or ())[1:]}
            for value in (entry.meta.get("args") or {}).values():
                found.update(_texts(value))
        return found

    def delete(self, volume: Record) -> None:
        """Have a volume deleted with its snapshots: from now on the journal knows of it."""
        args = {"volume": objects.volume(volume), "cascade": True}
        message = {"method": "delete_volume", "version": "3.0", "args": args}
        self._submit({**message, "_unique_id": uuid.uuid4().hex}, RequestContext.admin().to_wire())

    def take_over(self, updates: Mapping[str, Any]) -> None:
        """Follow a failover that another process, or another host of the cluster, has made."""
        told = {name: updates[name] for name in _SPREAD if name in updates}
        active = told.get("active_backend_id") or None
        row = self.get()
        if row.cluster_name:
            self.update(**told)
            self._complete(active)
        elif active != self._given:
            self._given = active
            self._renew(active)

    def active_backend_id(self) -> str | None:
        """Return the target that a driver is to be made for."""
        try:
            self._given = self.get().active_backend_id or None
        except NotFound:  # somebody deleted it; the next heartbeat makes it anew
            self._given = None
        return self._given

    def came_up(self, replicates: bool) -> None:
        """Write what a start makes of the replication status (spec/service §4, step 8).

        A failover that is still under way, or will go on, writes it itself.
        """
        try:
            row, status = self.get(), SWITCHED[replicates]
        except NotFound as error:
            LOG.warning("the replication status is not written: %s", error)
            return
        if row.replication_status not in (status, *failover.SERVICE.during):
            self._records.services.set_replication_status(row.id, status)
        if row.cluster_name:
            kept = self.get().replication_status
            services = self._records.services
            services.update_cluster(row.cluster_name, row.binary, replication_status=kept)

    def _complete(self, active: str | None) -> None:
        try:
            driver = self._backend.any_driver()
            driver.failover_completed(RequestContext.admin(), active)
        except NotImplementedError:
            self._renew(active)
        except Exception as error:
            LOG.exception("the driver did not take a failover over: %s", error)
            reason = "the driver did not take a failover over, see the log"
            failed = failover.FOLLOWED.failed
            self.update(disabled=True, disabled_reason=reason, replication_status=failed)

    def _renew(self, active: str | None) -> None:
        LOG.info("backend %s is served by %s from now on", self._backend.host, active or "itself")
        threading.Thread(
            target=self._backend.renew, args=(self._stopping,), name="set-up", daemon=True
        ).start()


def _texts(value: Any) -> Iterator[str]:
    """Yield what may be an id in an argument of a flow."""
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, str):
            yield one
