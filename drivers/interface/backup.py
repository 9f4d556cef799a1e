# SPDX-License-Identifier: Apache-2.0
"""The contract of a place where backups are kept.

Source: seeds, BackupDriver; spec/interfaces §6, whose reading of ``volume_file``
is followed: a backup reads from it, a restore writes into it.

A backup is read as a mapping or by attributes: ``id``, ``availability_zone``,
``service`` (this driver), ``user_id``, ``project_id``, ``display_name``,
``display_description``, ``volume_id``, ``status``, ``container``, ``parent_id``
(the backup on which this one builds, or None), ``size`` (GiB, the volume's),
``host``, ``snapshot_id``, ``data_timestamp`` (when the data was as it is in it).
"""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Any, BinaryIO, ClassVar

from oslo_config import cfg

from drivers.interface.records import Record
from drivers.interface.volume import Update


class BackupDriver(abc.ABC):
    """A place where backups are kept; every backup driver has at least this."""

    OPTS: ClassVar[list[cfg.Opt]] = []

    support_force_delete: ClassVar[bool] = False
    """Whether a backup can be deleted while it is being made."""

    @abc.abstractmethod
    def get_metadata(self, volume_id: str) -> str:
        """Return all metadata of a volume as JSON.

        It holds the version that says what a restore brings back of it. The
        service offers a ready implementation, which is mostly best.
        """

    @abc.abstractmethod
    def put_metadata(self, volume_id: str, json_metadata: str) -> None:
        """Bring back what the version of the metadata says.

        The service offers a ready implementation, which is mostly best.

        :raises BackupMetadataUnsupportedVersion: unknown; nothing was changed.
        """

    @abc.abstractmethod
    def backup(
        self, backup: Record, volume_file: BinaryIO, backup_metadata: bool = False
    ) -> Update:
        """Store a volume's data.

        With a ``parent_id`` only what changed since the parent is stored, unless the
        parent is of another size: then everything is, so that no data is missing.

        :param volume_file: the volume, opened for reading at its beginning.
        :param backup_metadata: whether the volume's metadata is stored as well.
        :returns: columns of the backup to write, or None.
        """

    @abc.abstractmethod
    def restore(self, backup: Record, volume_id: str, volume_file: BinaryIO) -> None:
        """Write a backup's data into a volume.

        :param volume_id: the volume that is written, which may be another one.
        :param volume_file: that volume, opened for writing at its beginning.
        """

    @abc.abstractmethod
    def delete_backup(self, backup: Record) -> None:
        """Remove a backup's data; absence is success."""

    def export_record(self, backup: Record) -> Mapping[str, Any]:
        """Return what another installation needs to know to use the backup.

        :returns: a dict that can become text; empty where there is nothing to say.
        """
        return {}

    def import_record(self, backup: Record, driver_info: Mapping[str, Any]) -> None:
        """Take over what :meth:`export_record` returned elsewhere.

        A driver that exports nothing has nothing to do.
        """
        return

    def check_for_setup_error(self) -> None:
        """Say whether the driver can work. :raises BackupDriverException: it cannot."""
        return
