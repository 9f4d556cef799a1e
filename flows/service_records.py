# SPDX-License-Identifier: Apache-2.0
"""What flows know of services in the database, as protocols: their rows and what is theirs."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol

from drivers.interface.records import Record


class ServiceRecords(Protocol):
    """Rows of ``services``."""

    def serving(self, host: str) -> Record | None:
        """Return the volume service of ``host@backend#pool``; None where there is none."""


class WorkRows(Protocol):
    """Rows of ``workers``: what the API and scheduler say is being worked on."""

    def claim(self, resource_type: str, resource_id: str, status: str) -> None:
        """Take over the row if there is one (``Volume`` or ``Snapshot``)."""

    def offer(self, resource_type: str, resource_id: str, status: str) -> None:
        """Write an unclaimed row, before the work is handed to another service."""

    def done(self, resource_type: str, resource_id: str) -> None:
        """Remove the row of a resource whose work somebody else goes on with."""

    def left(
        self,
        service_id: int | None = None,
        resource_type: str | None = None,
        resource_id: str | None = None,
        until: datetime.datetime | None = None,
    ) -> Sequence[Record]:
        """Return the rows that a service has claimed, ours if none is named.

        :param until: only those that nobody has changed since (UTC).
        """

    def take(self, work: Record) -> bool:
        """Claim a row that is as it was read; say whether it was."""

    def put_back(self, work: Record) -> None:
        """Give a row that was taken back as it was read."""

    def drop(self, work: Record) -> None:
        """Remove a row that was taken, unless it is somebody else's by now."""


class ServiceRow(Protocol):
    """The row in ``services`` of the service that runs the flow (spec/service §3)."""

    def get(self) -> Record:
        """Return the row as it is now."""

    def update(self, **columns: Any) -> None:
        """Write columns; it lives no longer for that."""

    def spread(self, **columns: Any) -> None:
        """Tell other processes of the service, and of its cluster, what a failover made of it.

        In a cluster its row is written first.
        """

    def underway(self) -> Collection[str]:
        """Return the ids of what operations in the journal are about that have not ended."""

    def delete(self, volume: Record) -> None:
        """Have a volume deleted with its snapshots, as the API does."""


class HostRecords(Protocol):
    """What lives on a backend, many rows at once."""

    def volumes(self) -> Iterable[Record]:
        """Return the live volumes."""

    def replicated_groups(self) -> Iterable[Record]:
        """Return the live groups whose type asks for replication."""

    def unsettled(
        self, kind: str, before: datetime.datetime, *, column: str, among: Collection[str]
    ) -> Iterable[Record]:
        """Return the live rows in one of some statuses that nobody has changed since.

        Volumes into which a backup is being restored are not among them.

        :param kind: ``volume``, ``snapshot``, or that of a group or of a snapshot of one.
        :param column: where the status stands.
        """

    def is_restored(self, volume_id: str) -> bool:
        """Say whether a backup is being restored into a volume."""


class Initiators(Protocol):
    """Driver data kept per initiator (spec/interfaces §2.2)."""

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
