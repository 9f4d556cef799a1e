# SPDX-License-Identifier: Apache-2.0
"""The database as a flow sees it: protocols, one for each kind of row.

The worker implements them; tests implement them with plain objects. Every method may
be called a second time after a kill, with the same result.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol

from drivers.interface.records import Record
from flows.protocols.request import Request


class VolumeRecords(Protocol):
    """Rows of ``volumes`` (spec/schema §2)."""

    def get(self, volume_id: str) -> Record:
        """Return the live row. :raises VolumeNotFound: none, or a deleted one."""

    def current(self, volume_id: str) -> Record:
        """Return the live row as it is now, for rows that others write meanwhile."""

    def with_columns(self, volume_id: str, **columns: Any) -> Record:
        """Return the live row as it would be with other values, its name as well."""

    def create(self, **columns: Any) -> Record:
        """Insert a row and return it; an existing row of that id is returned as it is."""

    def update(self, volume_id: str, **columns: Any) -> None:
        """Write columns; ``metadata`` and ``admin_metadata`` replace the whole key set.

        :raises ValueError: an unknown column, or a value too long for it.
        """

    def transition(
        self,
        volume_id: str,
        to: str,
        *,
        when: Collection[str],
        commit: Sequence[str] = (),
        rollback: Sequence[str] = (),
        done: bool = False,
        mark: int | None = None,
        **columns: Any,
    ) -> None:
        """Change the status by compare-and-set, with columns, in one transaction.

        A row that already is in ``to`` with these columns counts as changed. Snapshots
        follow a change of the type.

        :param when: statuses from which the change is allowed.
        :param commit: reservation ids whose quota becomes used.
        :param rollback: reservation ids whose quota is given back.
        :param done: the work row of the volume goes as well (spec/volume-rpc §8).
        :param mark: the change is allowed only while the work row has this mark.
        :raises StatusChanged: the row is in another status.
        :raises VolumeNotFound: the row is gone.
        """

    def update_all(self, entries: Iterable[Mapping[str, Any]]) -> None:
        """Write columns of several volumes, all of them or none; each entry has an ``id``."""

    def migrate(
        self, volume_id: str, to: str, *, when: Collection[str | None], mark: int | None = None
    ) -> None:
        """Change the migration status by compare-and-set, as :meth:`transition` the status.

        :raises InvalidVolume: it is another one.
        """

    def copy_of(self, volume_id: str) -> Record | None:
        """Return the live row that a migration has made for a volume's copy; None without."""

    def swap(
        self,
        volume_id: str,
        copy_id: str,
        to: str,
        *,
        commit: Sequence[str] = (),
        mark: int | None = None,
    ) -> None:
        """Exchange the objects of two rows: a volume's and that of its copy on another backend.

        In one transaction (spec/volume-rpc, migrate_volume_completion): the columns of the
        two rows, the type, ``success`` and ``deleting`` as migration statuses, the
        attachments of the copy, the quota. Done once; a second try changes nothing.

        :param to: the volume's status.
        :param mark: of the volume's work row, which goes as well.
        :raises InvalidVolume: the two are not a volume that is ``completing`` and its copy.
        """

    def destroy(self, volume_id: str, *, release: Mapping[str, int] | None = None) -> bool:
        """Soft-delete the volume and its related rows (spec/schema §3).

        Quota is given back in the same transaction, so that a second try after a
        kill cannot give it back twice.

        :param release: ``{"volumes": 1, "gigabytes": 5}``; the project and the
            type (``gigabytes_<type name>``) are the row's.
        :returns: False when the row was already deleted.
        """

    def pop_admin_metadata(self, volume_id: str, key: str) -> None:
        """Remove one key of the admin metadata, if it is there."""

    def set_admin_metadata(self, volume_id: str, **pairs: str) -> None:
        """Set some keys of the admin metadata and leave the others."""

    def copy_image_metadata(
        self,
        volume_id: str,
        *,
        from_volume: str | None = None,
        from_snapshot: str | None = None,
    ) -> None:
        """Copy the image metadata rows of one source to this volume; repeatable."""

    def replace_image_metadata(self, volume_id: str, pairs: Mapping[str, Any]) -> None:
        """Write the image metadata of a volume, and nothing else of it is left."""

    def qos(self, volume_type_id: str | None) -> dict[str, Any] | None:
        """Return ``{"consumer": …, "specs": {…}}`` of a type, None without one."""

    def named(self, text: str) -> Record | None:
        """Return the live volume that has this name on the backend, if one has."""


class SnapshotRecords(Protocol):
    """Rows of ``snapshots``; the methods have the meaning of those for volumes."""

    def get(self, snapshot_id: str) -> Record:
        """:raises SnapshotNotFound: no live row."""

    def of_volume(self, volume_id: str) -> list[Record]:
        """Return the live snapshots of a volume, oldest first."""

    def create(self, **columns: Any) -> Record:
        """Insert a row and return it; an existing row of that id is returned as it is."""

    def update(self, snapshot_id: str, **columns: Any) -> None:
        """Write columns."""

    def transition(
        self,
        snapshot_id: str,
        to: str,
        *,
        when: Collection[str],
        done: bool = False,
        commit: Sequence[str] = (),
        **columns: Any,
    ) -> None:
        """Change the status by compare-and-set."""

    def destroy(self, snapshot_id: str, *, release: Mapping[str, int] | None = None) -> bool:
        """Soft-delete the snapshot, its metadata and image metadata; give quota back.

        Type-specific quota follows the type of the snapshot's volume.
        """

    def copy_image_metadata(self, snapshot_id: str, *, from_volume: str) -> None:
        """Copy the image metadata rows of a volume to the snapshot; repeatable."""

    def named(self, text: str) -> Record | None:
        """Return the live snapshot whose name on the backend is part of a text, if one's is."""


class QuotaRecords(Protocol):
    """Rows of ``reservations`` and ``quota_usages`` (spec/volume-rpc §7)."""

    def require_volume_size(self, project_id: str, gib: int) -> None:
        """Compare a size with the limit for one volume. :raises OverQuota: it is too large."""

    def reserve_for(self, resource: Record, amounts: Mapping[str, int]) -> None:
        """Reserve amounts under the id of a resource, also under the name of its type.

        A second try meets the reservation of the first. An amount below zero becomes
        free when the reservation is used.

        :raises OverQuota: a limit would be passed; nothing is reserved.
        """

    def commit(self, reservation_ids: Sequence[str]) -> None:
        """Commit reservations; settled ones stay so."""

    def rollback(self, reservation_ids: Sequence[str]) -> None:
        """Roll reservations back; settled ones stay so."""


class TypeRecords(Protocol):
    """Rows of ``volume_types``, and their differences."""

    def get(self, type_id: str | None) -> Record | None:
        """Return a type with its ``extra_specs``, even a deleted one; None without a row."""

    def encryption(self, type_id: str | None) -> Mapping[str, Any] | None:
        """Return ``provider``, ``control_location``, ``cipher`` and ``key_size`` of a type.

        None where its volumes are not encrypted.
        """

    def diff(self, old_id: str, new_id: str) -> dict[str, dict[str, list[Any]]]:
        """Return how two types differ: ``extra_specs``, ``qos_specs`` and ``encryption``.

        Each by key, with the old and the new value of each difference.

        :raises VolumeTypeNotFound: there is no such new type.
        """


class GroupRecords(Protocol):
    """Rows of groups, or of snapshots of groups, with their members (spec/schema §2).

    Members of a group are volumes, those of a group snapshot are snapshots.
    """

    def get(self, row_id: str) -> Record:
        """:raises NotFound: no live row."""

    def members(self, row_id: str) -> list[Record]:
        """Return the live members, oldest first."""

    def update(self, row_id: str, **columns: Any) -> None:
        """Write columns. :raises ValueError: an unknown one, or a value that does not fit."""

    def update_members(self, row_id: str, entries: Iterable[Mapping[str, Any]]) -> None:
        """Write columns of members, all of them or none; each entry has an ``id``."""

    def transition(
        self,
        row_id: str,
        to: str,
        *,
        when: Collection[str],
        mark: int | None = None,
        **columns: Any,
    ) -> None:
        """Change the status by compare-and-set.

        :param mark: of the work row, which goes as well; without it nothing is changed.
        """

    def set_replication(
        self,
        row_id: str,
        to: str,
        *,
        when: str,
        status: str | None = None,
        members_status: str | None = None,
        mark: int | None = None,
    ) -> None:
        """Change the replication status of a group and of its members by compare-and-set.

        All in one transaction; members in another replication status are left alone. A
        group that already is in ``to`` counts as changed.

        :param status: of the group, None for the one that it has.
        :param members_status: of the members that change, likewise.
        :param mark: of the work row, which goes as well; without it nothing is changed.
        :raises StatusChanged: the group is in another one.
        """

    def change_members(self, row_id: str, add: Iterable[str], remove: Iterable[str]) -> None:
        """Let volumes join a group and leave it, all of them or none; repeatable."""

    def destroy(self, row_id: str, *, release: Mapping[str, int] | None = None) -> bool:
        """Soft-delete the row and give its quota back; False when it was gone already."""


class AttachmentRecords(Protocol):
    """Rows of ``volume_attachment``."""

    def get(self, attachment_id: str) -> Record:
        """:raises VolumeAttachmentNotFound: no live row."""

    def of_volume(self, volume_id: str) -> list[Record]:
        """Return the live attachments of a volume."""

    def count(self, volume_id: str) -> int:
        """Return how many attachments a volume has had, those that ended included."""

    def create(self, **columns: Any) -> Record:
        """Insert a row and return it; an existing row of that id is returned as it is."""

    def update(self, attachment_id: str, **columns: Any) -> None:
        """Write columns."""

    def destroy(self, attachment_id: str) -> None:
        """Soft-delete: ``detached``, detach_time and deleted_at now."""

    def settle_volume(self, volume_id: str) -> str:
        """Recompute the volume's statuses from its attachments (spec/volume-rpc §3).

        :returns: the volume's status afterwards.
        """


class BackupRecords(Protocol):
    """Rows of ``backups``; each record has ``parent``, the row that it builds on, or None."""

    def get(self, backup_id: str) -> Record:
        """:raises BackupNotFound: no live row."""

    def find(self, backup_id: str) -> Record | None:
        """Return a row, even a deleted one; None where there never was one."""

    def update(self, backup_id: str, **columns: Any) -> None:
        """Write columns. :raises ValueError: an unknown one, or a value that does not fit."""

    def transition(self, backup_id: str, to: str, *, when: Collection[str], **columns: Any) -> None:
        """Change the status by compare-and-set.

        :raises StatusChanged: the row is in another status.
        :raises BackupNotFound: the row is gone.
        """

    def complete(self, backup_id: str, *, when: Collection[str], **columns: Any) -> None:
        """Make a backup available, and count it with the one that it builds on; once."""

    def destroy(self, backup_id: str, *, release: Mapping[str, int] | None = None) -> bool:
        """Soft-delete the row, take it off its parent's count, and give its quota back.

        :returns: False when the row was already deleted.
        """

    def switch(self, backup_id: str, former: str, *, when: Collection[str], **columns: Any) -> bool:
        """Have a row name another copy of its backup, and count it with its new parent; once.

        :param former: ``service_metadata`` of the copy that it names until now.
        :param columns: ``service_metadata``, ``parent_id`` and ``object_count`` of the other.
        :returns: False where the row names neither copy, has another status, or is gone.
        """

    def dependants(self, backup_id: str) -> list[str]:
        """Return the ids of the live backups that build on one."""

    def being_made_of(self, volume_id: str) -> list[str]:
        """Return the ids of the backups of a volume that are ``creating``."""

    def naming_key(self, key_id: str) -> list[str]:
        """Return the live volumes, snapshots and backups with a key: kind and id of each."""


class MessageRecords(Protocol):
    """Rows of user messages (spec/volume-rpc §6)."""

    def create(
        self,
        request: Request,
        resource: Record,
        *,
        action: str,
        detail: str,
        resource_type: str = "VOLUME",
        level: str = "ERROR",
    ) -> None:
        """Insert a message; the resource's project is used when the request has none."""
