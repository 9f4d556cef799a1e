# SPDX-License-Identifier: Apache-2.0
"""The contract of a store that keeps backups of volumes.

Source: seeds, BackupDriver; spec/interfaces §6, which also says why ``volume_file``
is read by a backup and written by a restore: the seed has it the other way round.

Calls may take hours and may be repeated after a kill, so each is idempotent. A
driver never names a status: it raises, and the operation derives the status.
"""

from __future__ import annotations

import abc
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, BinaryIO, ClassVar, NamedTuple

from oslo_config import cfg

from drivers.interface.optional import Update
from drivers.interface.pace import Pace
from drivers.interface.records import Record

Extents = Sequence[tuple[int, int]]
"""Begin and end of ranges of a volume, in bytes; in order, without overlap."""


class Damage(NamedTuple):
    """A damaged object of a backup.

    :param name: of the object in the store.
    :param start: where its data begins in the volume, in bytes; a list or a table has none.
    :param end: where the data after it begins.
    """

    name: str
    start: int
    end: int
    reason: str


class BackupDriver(abc.ABC):
    """A store that keeps backups.

    The ``backup`` record has ``id``, ``availability_zone``, ``service`` (the driver's
    name), ``user_id``, ``project_id``, ``display_name``, ``display_description``,
    ``volume_id``, ``container``, ``parent_id`` (the backup that an incremental one
    builds on, or None), ``parent`` (its record), ``size`` (GiB, the volume's), ``host``,
    ``snapshot_id`` and ``data_timestamp`` (the moment of which the data is).

    Keyword arguments behind the seed's own are given to a driver that names them.

    :param configuration: the options as attributes, as for a volume driver.
    :param metadata: the worker's implementation of :meth:`get_metadata` and
        :meth:`put_metadata`: an object with ``get(volume_id)`` and
        ``put(volume_id, json_metadata)``. That of a service also has
        ``is_being_made(backup_id)``, and ``check(volume_id, json_metadata)``, which raises
        where ``put`` would.
    :param shared: whether other hosts continue interrupted transfers of this one; then the
        checkpoints have to be where they find them. Only for drivers with a
        :meth:`shared_place`.
    """

    OPTS: ClassVar[list[cfg.Opt]] = []
    """The driver's own options."""

    support_force_delete: bool = False
    """Whether a backup can be deleted while it is still being made or restored."""

    needs_parents: bool = True
    """Whether an incremental backup is lost with a backup that it builds on."""

    def __init__(self, configuration: Any, *, metadata: Any = None, **_: Any) -> None:
        self.configuration = configuration
        self.metadata = metadata

    @classmethod
    def shared_place(cls, configuration: Any) -> str | None:
        """Return a name of the place of the backups that only hosts with the same place have.

        Such hosts adopt each other's operations where they share a journal. Nothing is
        connected for it. A driver with a name gets the argument ``shared``.

        :returns: None where the place belongs to this host, or its name is not known.
        """
        return None

    @classmethod
    def limits(cls, configuration: Any) -> str | None:
        """Return the promises that this driver cannot keep with these options; None: it keeps all.

        It is logged when the service starts, and listed by ``holdfast config check``.
        """
        return None

    def check_for_setup_error(self) -> None:
        """Return whether the store can be used.

        :raises BackupDriverException: backups on this host fail until it can.
        """
        return

    def for_request(self, request: Any, backup: Record) -> BackupDriver:
        """Return the driver that works on a backup for one request.

        Called for each step of an operation, in each attempt at it. Only an operation that runs
        since its request came knows the token and the catalogue: after a restart they are gone.

        :param request: has ``user_id``, ``project_id``, ``auth_token`` and ``service_catalog``.
        :returns: this driver, unless it acts in the name of users.
        :raises BackupDriverException: the request lacks something that the driver needs.
        """
        return self

    def files_directory(self) -> str | None:
        """Return the directory that holds all backups, where it is one.

        Asked before :meth:`check_for_setup_error`. The worker marks the directory at its first
        use; without the mark, as when its file system is not mounted, nothing is kept there.
        """
        return None

    def get_metadata(self, volume_id: str) -> str:
        """Return a volume's metadata as it is to be kept with a backup.

        The worker's ready implementation serves where the driver has none.

        :returns: a dict as JSON: all metadata, and the version by which a restore
            decides which part of it to restore.
        :raises BackupDriverException: the backup fails.
        """
        return str(self.metadata.get(volume_id))

    def put_metadata(self, volume_id: str, json_metadata: str) -> None:
        """Restore a volume's metadata from a backup.

        :param json_metadata: as :meth:`get_metadata` returned it; its version says
            the volume.
        :raises BackupMetadataUnsupportedVersion: nothing was restored of it.
        """
        self.metadata.put(volume_id, json_metadata)

    def place(self, backup: Record) -> Update:
        """Choose where a backup is kept, before the first byte of it is.

        The columns are written first, so that a second try after a kill finds the
        objects. A second call returns the columns of the row.

        :returns: ``container``, ``service_metadata`` or whatever locates it.
        :raises BackupDriverException: the row names a place where nothing can be kept.
        """
        return None

    @abc.abstractmethod
    def backup(
        self,
        backup: Record,
        volume_file: BinaryIO,
        backup_metadata: bool = False,
        *,
        pace: Pace = Pace(),  # noqa: B008 - it is immutable
        changed: Extents | None = None,
    ) -> Update:
        """Read a volume and keep its data.

        With a ``parent_id`` only data that changed since the parent is kept. A parent
        of another size cannot be built on: then all data is kept, and the update
        says ``parent_id: None``, or a restore would lay it over the parent.

        A repeated call continues after, or writes again, the objects of an interrupted one.

        :param volume_file: the volume or snapshot, open for reading, at its start.
        :param backup_metadata: whether the volume's metadata is kept as well.
        :param pace: called with the progress.
        :param changed: ranges of the volume that may differ from the parent, all else does not;
            None where they are unknown.
        :returns: columns of the backup to write, or None.
        :raises BackupDriverException: incomplete; :meth:`delete_backup` clears it.
        """

    @abc.abstractmethod
    def restore(
        self,
        backup: Record,
        volume_id: str,
        volume_file: BinaryIO,
        volume_is_new: bool = False,
        *,
        pace: Pace = Pace(),  # noqa: B008 - it is immutable
    ) -> None:
        """Write a backup's data, with that of the backups it builds on, to a volume.

        A repeated call with the same ``pace.key`` continues where an interrupted one was.

        :param volume_id: the volume that is restored to, not always the one of old.
        :param volume_file: that volume, open for writing, at its start.
        :param volume_is_new: whether it reads as zeros, so that zeros may be left out.
        A driver may take ``damage``, a list that gets each :class:`Damage` past which the restore
        goes, or None to end at the first one. Their ranges of the volume have the parts that could
        be read, older data of the chain, or zeros.
        :raises BackupDamaged: a part of the backup is missing or damaged.
        :raises BackupDriverException: the backup is as it was, the volume's data is
            to be thrown away.
        """

    def verify(self, backup: Record, *, pace: Pace = Pace()) -> None:  # noqa: B008
        """Read a backup, and those that it builds on, and compare everything.

        :raises BackupDamaged: a restore would fail, or bring back something else.
        :raises NotImplementedError: this driver cannot.
        """
        raise NotImplementedError

    def scrub(
        self,
        backup: Record,
        *,
        pace: Pace = Pace(),  # noqa: B008 - it is immutable
        mib_per_second: float = 0,
    ) -> list[Damage]:
        """Read a backup, but not those that it builds on, and return the damage.

        :param mib_per_second: MiB of the volume that are read in a second at most; 0 for no limit.
        :raises BackupDriverException: the store failed, which says nothing about the backup.
        :raises NotImplementedError: this driver cannot.
        """
        raise NotImplementedError

    def needed(self, backup: Record, names: Iterable[str]) -> set[str]:
        """Return which objects a restore of a backup needs, among those of its chain.

        :param names: of objects, of whichever backup.
        :raises BackupDriverException: its chain cannot be read.
        :raises NotImplementedError: this driver cannot.
        """
        raise NotImplementedError

    @abc.abstractmethod
    def delete_backup(self, backup: Record) -> None:
        """Remove a backup from the store; absence, of parts too, is success.

        Whatever an interrupted backup or restore put aside goes as well.

        :raises BackupDriverException: it may be partly removed; the call can be
            repeated.
        """

    def other_place(self, backup: Record) -> str:
        """Choose where a backup could be stored a second time, besides its place of today.

        :returns: a value of ``service_metadata``.
        :raises NotImplementedError: this driver cannot change chains.
        """
        raise NotImplementedError

    def rewrite(
        self,
        backup: Record,
        base: Record | None,
        service_metadata: str,
        *,
        pace: Pace = Pace(),  # noqa: B008 - it is immutable
    ) -> Update:
        """Store a backup a second time, so that it builds on another one; no volume is read.

        Both copies are restored to the same data. The first one, and those that it builds on, are
        not touched. A repeated call continues an interrupted one.

        :param base: one that the backup builds on today, or None for a full backup.
        :param service_metadata: as :meth:`other_place` chose it. The copy may have another one that
            is made of it, so that attempts on several hosts do not write the same objects.
        :returns: the columns with which the row names the second copy.
        :raises BackupDamaged: a part that is needed is missing or damaged.
        :raises BackupDriverException: incomplete; :meth:`remove_copy` clears it.
        """
        raise NotImplementedError

    def remove_copy(self, backup: Record, service_metadata: str) -> None:
        """Remove a copy of a backup that its row does not name; absence is success.

        The copies of all attempts with this place go, but for one that the row names.

        :raises BackupDriverException: it may be partly removed, or the row names it; the call
            can be repeated.
        """
        raise NotImplementedError

    def list_backups(self, containers: Iterable[str]) -> Iterable[str]:
        """List the ids of the backups in the store; ``holdfast audit`` asks.

        The list is complete: a backup that is missing in it counts as lost. It may be asked
        for in a process without a service, and before :meth:`check_for_setup_error`.

        :param containers: those that rows of backups name.
        :raises NotImplementedError: this driver cannot.
        :raises BackupDriverException: the store failed.
        """
        raise NotImplementedError

    def export_record(self, backup: Record) -> Mapping[str, Any]:
        """Return the data that this driver needs, besides the row, to import the backup elsewhere.

        :returns: a dict fit for JSON; empty unless the driver keeps something apart.
        """
        return {}

    def import_record(self, backup: Record, driver_info: Mapping[str, Any]) -> None:
        """Import the data that :meth:`export_record` returned; nothing by default.

        :param backup: as its row is going to be. The record is untrusted input, so
            the place that it names is checked here.
        :raises BackupDriverException: the imported backup cannot be used.
        """
        return
