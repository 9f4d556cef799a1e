# SPDX-License-Identifier: Apache-2.0
"""The row of a service in ``services``, and failovers of its backend.

A service registers its row before it builds the parts that need the row's id or UUID.
The driver of each process uses one replication target; the process that fails the backend
over sends the new target to the other processes, and to the other hosts of a cluster.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from typing import Any, Protocol

from drivers.interface.records import Record
from flows.errors import NotFound
from flows.host import failover
from flows.replication_statuses import SWITCHED
from worker.db.records import Records
from worker.rpc.clients.sender import BusUnavailable
from worker.rpc.clients.volume import VolumeClient
from worker.rpc.request_context import RequestContext

LOG = logging.getLogger(__name__)

OBJECT_VERSION = "1.39"

FOREIGN = 3
"""Periods in a row with foreign heartbeats, after which another service is assumed."""

_SENT = ("replication_status", "active_backend_id", "disabled", "disabled_reason")
"""Columns that a failover sends; columns of other names are not accepted from the bus."""


class RegisteredService:
    """The row of the service that runs in this process.

    :param host: the service's name on the bus and in the database.
    :param binary: the service's program, which is its topic too.
    :param cluster: ``cluster@backend``; None without a cluster.
    :raises Unavailable: the database does not answer.
    :raises OtherCluster: the row names another cluster.
    """

    def __init__(
        self,
        records: Records,
        host: str,
        binary: str,
        *,
        zone: str,
        rpc_version: str,
        cluster: str | None = None,
    ) -> None:
        self._services = records.services
        self.host = host
        self.cluster = cluster
        self._binary = binary
        self._zone = zone
        self._rpc_version = rpc_version
        self._row = self._register()
        self._rivals = _Rivals(f"{binary} {host}")

    @property
    def id(self) -> int:
        """The id of the row."""
        return int(self._row.id)

    @property
    def uuid(self) -> str:
        """The UUID of the row."""
        return str(self._row.uuid)

    def get(self) -> Record:
        """Return the current row. :raises NotFound: it is gone."""
        row = self._services.get(self.id)
        if row is None:
            raise NotFound(f"the services row of {self.host} is gone")
        return row

    def update(self, **columns: Any) -> None:
        """Write columns."""
        self._services.update(self.id, **columns)

    def heartbeat(self) -> None:
        """Write the time of the heartbeat; insert a new row if an operator deleted this one.

        Another service that writes the same row is logged: it takes half of the operations.
        """
        count = self._services.heartbeat(
            host=self.host, binary=self._binary, availability_zone=self._zone
        )
        if count is None:
            LOG.warning("the services row of %s was gone, it is made anew", self.host)
            self._row = self._register()
        self._rivals.note(count)

    def _register(self) -> Record:
        return self._services.ensure(
            host=self.host,
            binary=self._binary,
            topic=self._binary,
            availability_zone=self._zone,
            rpc_version=self._rpc_version,
            object_version=OBJECT_VERSION,
            cluster=self.cluster,
        )


class _Rivals:
    """Whether another service writes heartbeats to the same row.

    One heartbeat too many is no proof: one of ours counts twice when its answer was lost.

    :param service: the name of the service in the log.
    """

    def __init__(self, service: str) -> None:
        self._service = service
        self._count: int | None = None
        self._foreign = 0  # heartbeats in a row that were not the only ones of their period

    def note(self, count: int | None) -> None:
        """Note how many heartbeats the row has had; None when it is new."""
        before, self._count = self._count, count
        if before is None or count is None or count <= before + 1:
            self._foreign = 0
            return
        self._foreign += 1
        if self._foreign == FOREIGN:
            LOG.warning(
                "another service writes the heartbeats of %s too, and takes some of its "
                "operations: stop the cinder-volume, cinder-backup or Holdfast service of this "
                "name on the other machine, or give it another host",
                self._service,
            )


class BackendServiceRow:
    """Implements :class:`flows.protocols.service_records.ServiceRow`: the row, and its failovers.

    :param processes: the number of processes that serve the backend.
    :param client: reaches the other processes and hosts.
    """

    def __init__(
        self, records: Records, row: RegisteredService, client: VolumeClient, processes: int
    ) -> None:
        self._services = records.services
        self._row = row
        self._client = client
        self._processes = processes
        self._target: str | None = None

    def get(self) -> Record:
        """Return the current row. :raises NotFound: it is gone."""
        return self._row.get()

    def update(self, **columns: Any) -> None:
        """Write columns."""
        self._row.update(**columns)

    def update_all(self, **columns: Any) -> None:
        """Write columns of the rows of all hosts of the cluster; without one, of this row."""
        row = self.get()
        if row.cluster_name:
            self._services.update_members(row.cluster_name, row.binary, **columns)
        else:
            self._row.update(**columns)

    def spread(self, **columns: Any) -> None:
        """Send a failover's columns to the other processes, or to the hosts of the cluster."""
        row = self.get()
        sent = {name: columns[name] for name in _SENT if name in columns}
        if "active_backend_id" in columns:
            self._target = columns["active_backend_id"] or None
        address = row.cluster_name or self._row.host
        if row.cluster_name:
            self._services.update_cluster(row.cluster_name, row.binary, **sent)
        elif self._processes == 1 or "active_backend_id" not in columns:
            return
        try:
            admin = RequestContext.admin()
            self._client.cast(admin, address, "failover_completed", updates=sent)
        except BusUnavailable as error:
            LOG.error("other processes of %s do not know of the failover: %s", address, error)

    def active_backend_id(self) -> str | None:
        """Return the replication target for which a new driver is built."""
        try:
            self._target = self._state().active_backend_id or None
        except NotFound:  # an operator deleted it; the next heartbeat inserts it again
            self._target = None
        return self._target

    def _state(self) -> Record:
        """Return the row with the replication state: the cluster's, or else the service's.

        :raises NotFound: it is gone.
        """
        row = self.get()
        cluster = None
        if row.cluster_name:
            cluster = self._services.cluster(row.cluster_name, row.binary)
        return row if cluster is None else cluster

    def missed_failover(self) -> dict[str, Any] | None:
        """Return the columns of a failover of the cluster that the driver has not followed.

        A host that is starting, or has lost the message bus, misses the message about it.
        """
        row = self.get()
        if not row.cluster_name:
            return None
        state = self._state()
        if state.replication_status in failover.SERVICE.during:
            return None
        missed = (state.active_backend_id or None) != self._target
        return {name: state[name] for name in _SENT} if missed else None

    def change_target(self, target: str | None) -> bool:
        """Note a new replication target; return whether the driver uses another one."""
        changed = target != self._target
        self._target = target
        return changed

    def write_replication_status(self, replicates: bool) -> None:
        """Write the replication status of a start (spec/service §4, step 8).

        A failover that has not ended, or resumes, writes it itself. In a cluster the status of
        the cluster decides: another host may have failed over while this one was down.
        """
        try:
            row, status = self.get(), SWITCHED[replicates]
        except NotFound as error:
            LOG.warning("the replication status is not written: %s", error)
            return
        if row.cluster_name:
            found = self._services.set_cluster_replication(row.cluster_name, row.binary, status)
            if found not in (None, row.replication_status):
                self._services.update(row.id, replication_status=found)
        elif row.replication_status not in (status, *failover.SERVICE.during):
            self._services.set_replication_status(row.id, status)


class FailoverBackend(Protocol):
    """The backend whose driver follows failovers."""

    @property
    def host(self) -> str:
        """``host@backend``."""

    def any_driver(self) -> Any:
        """Return the driver, even if it is not up."""

    def renew(self, stopping: threading.Event) -> None:
        """Build and set up a new driver."""


class RemoteFailovers:
    """Implements :class:`worker.endpoints.maintenance.FailoverFollower`.

    :param stopping: ends the set-up of a new driver.
    """

    def __init__(
        self, row: BackendServiceRow, backend: FailoverBackend, stopping: threading.Event
    ) -> None:
        self._row = row
        self._backend = backend
        self._stopping = stopping

    def follow(self, updates: Mapping[str, Any]) -> None:
        """Follow a failover of another process, or of another host of the cluster."""
        columns = {name: updates[name] for name in _SENT if name in updates}
        target = columns.get("active_backend_id") or None
        if self._row.get().cluster_name:
            self._row.update(**columns)
            if "active_backend_id" in columns:
                self._row.change_target(target)
            # A failover that failed sends no target: the driver stays with the one that it has.
            self._complete(self._row.get().active_backend_id or None)
        elif self._row.change_target(target):
            self._renew(target)

    def follow_missed(self) -> None:
        """Follow a failover of the cluster whose message has not come."""
        if (columns := self._row.missed_failover()) is not None:
            LOG.warning("%s missed a failover of its cluster, and follows it", self._backend.host)
            self.follow(columns)

    def _complete(self, target: str | None) -> None:
        try:
            self._backend.any_driver().failover_completed(RequestContext.admin(), target)
        except NotImplementedError:
            self._renew(target)
        except Exception as error:
            LOG.exception("the driver could not follow a failover: %s", error)
            reason = "the driver could not follow a failover, see the log"
            failed = failover.FOLLOWED.failed
            self._row.update(disabled=True, disabled_reason=reason, replication_status=failed)

    def _renew(self, target: str | None) -> None:
        LOG.info("backend %s is served by %s from now on", self._backend.host, target or "itself")
        threading.Thread(
            target=self._backend.renew, args=(self._stopping,), name="set-up", daemon=True
        ).start()
