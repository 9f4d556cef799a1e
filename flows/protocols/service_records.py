# SPDX-License-Identifier: Apache-2.0
"""Rows of services, and rows by host, as flows use them: protocols."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol

from drivers.interface.records import Record
from flows.protocols.image_cache import CacheOperations


class ServiceRecords(Protocol):
    """Rows of ``services``."""

    def serving(self, host: str) -> Record | None:
        """Return the row of the volume service of ``host@backend#pool``; None without one."""


class WorkRecords(Protocol):
    """Rows of ``workers``: resources that a service works on."""

    def claim(self, resource_type: str, resource_id: str, status: str) -> None:
        """Take over the row if there is one (``Volume`` or ``Snapshot``)."""

    def offer(self, resource_type: str, resource_id: str, status: str) -> None:
        """Write an unclaimed row, before the work is handed to another service."""

    def done(self, resource_type: str, resource_id: str) -> None:
        """Remove the row of a resource that another service now works on."""

    def mark(
        self, resource_type: str, resource_id: str, status: str, mark: int, *, unless_marked: bool
    ) -> bool:
        """Write the mark of an operation (see :mod:`flows.claims`); return whether it is there.

        :param unless_marked: leave the mark of another operation.
        """

    def is_marked(self, resource_type: str, resource_id: str, mark: int) -> bool:
        """Return whether a resource has the mark."""

    def unmark(self, resource_type: str, resource_id: str, mark: int) -> None:
        """Remove the row of a resource if it has the mark."""

    def left(
        self,
        service_id: int | None = None,
        resource_type: str | None = None,
        resource_id: str | None = None,
        until: datetime.datetime | None = None,
    ) -> Sequence[Record]:
        """Return the rows that a service has claimed.

        :param service_id: the service; this one by default.
        :param until: only rows unchanged since this time (UTC).
        """

    def take(self, work: Record) -> bool:
        """Claim a row if it is unchanged; return whether it was."""

    def put_back(self, work: Record) -> None:
        """Restore the row of a taken work to the columns that were read."""

    def drop(self, work: Record) -> None:
        """Remove a row that was taken, unless another service has taken it since."""


class ServiceRow(Protocol):
    """The row in ``services`` of the service that runs the flow (spec/service §3)."""

    def get(self) -> Record:
        """Return the current row."""

    def update(self, **columns: Any) -> None:
        """Write columns; this counts as no heartbeat."""

    def update_all(self, **columns: Any) -> None:
        """Write columns of the rows of all hosts of the cluster; without one, of this row."""

    def spread(self, **columns: Any) -> None:
        """Send the result of a failover to the other processes of the service or cluster.

        In a cluster, the cluster's row is written first.
        """


class ServiceOperations(CacheOperations, Protocol):
    """The operations of the service that runs the flow, as its journal has them."""

    def in_progress(self) -> Collection[str]:
        """Return the ids of resources, and in arguments, of the operations that have not ended."""

    def delete_volume(self, volume: Record) -> None:
        """Accept the deletion of a volume with its snapshots, as if the API had cast it.

        The deletion is journalled at once, and runs after this flow.
        """


class BackendRecords(Protocol):
    """The rows of all volumes, snapshots and groups of a backend."""

    def volumes(self) -> Iterable[Record]:
        """Return the live volumes."""

    def replicated_groups(self) -> Iterable[Record]:
        """Return the live groups whose type requires replication."""

    def unsettled(self, kind: str, *, column: str, among: Collection[str]) -> Iterable[Record]:
        """Return the live rows in one of some statuses.

        Volumes to which a backup is being restored are excluded.

        :param kind: ``volume``, ``snapshot``, or the kind of a group or group snapshot.
        :param column: the column of the status.
        """

    def have_unsettled(self, wanted: Sequence[tuple[str, str, Collection[str]]]) -> Sequence[bool]:
        """Return for each query whether :meth:`unsettled` returns rows, in one statement.

        :param wanted: kind, column and statuses of each.
        """

    def is_restored(self, volume_id: str) -> bool:
        """Return whether a backup is being restored to a volume."""


class RowRepairs(Protocol):
    """Repairs of rows that an audit found; each returns whether it changed a row.

    A row that is not as the audit saw it any more is left.
    """

    def settle_attachments(self, volume_id: str) -> bool:
        """Set the statuses of a volume at rest by its attachments."""

    def end_attachment(self, attachment_id: str) -> bool:
        """Delete the attachment of a deleted volume."""

    def sync_quota(self, project_id: str, resource: str) -> bool:
        """Set the usage of a project to the sum of its rows and of its reservations."""

    def expire_reservation(self, reservation_id: str) -> bool:
        """Give the room of an expired reservation back."""

    def drop_work_row(self, work_id: int, race_preventer: int) -> bool:
        """Remove a work row that no service has claimed since."""

    def count_dependants(self, backup_id: str) -> bool:
        """Set the number of backups that build on one."""

    def remove_cache_entry(self, entry_id: int) -> bool:
        """Remove an entry of the cache of images whose volume is deleted."""


class InitiatorRecords(Protocol):
    """Rows of driver data by initiator (spec/interfaces §2.2)."""

    def get(self, initiator: str, namespace: str) -> dict[str, str]:
        """Return the stored pairs."""

    def save(
        self,
        initiator: str,
        namespace: str,
        set_values: Mapping[str, Any],
        remove_values: Iterable[str],
    ) -> None:
        """Upsert pairs, then delete keys for good."""
