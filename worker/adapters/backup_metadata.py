# SPDX-License-Identifier: Apache-2.0
"""Metadata of a volume in a backup, as versioned JSON (spec/backup-rpc §6), and rows of backups.

======= ==========================================================================
version restored
======= ==========================================================================
1       name and description; user metadata; image metadata
2       these, and the key of an encrypted volume
======= ==========================================================================
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Mapping
from typing import Any

from oslo_utils import units

from drivers.interface.errors import (
    BackupDriverException,
    BackupMetadataUnsupportedVersion,
    EncryptedBackupOperationFailed,
)
from drivers.interface.records import Record
from flows.statuses import BackupStatus
from worker.db import models
from worker.db.records import Records

VERSIONS = (1, 2)

_BASE = "volume-base-metadata"
_USER = "volume-metadata"
_IMAGE = "volume-glance-metadata"

_MAX_LENGTH = 10 * units.Mi
"""Characters of a volume's metadata: columns of 64 KiB for each of Glance's 128 properties."""

_NAMES = ("display_name", "display_description")
_OF_RESTORE = "restore_backup_"
"""Prefix of the names of volumes that the API creates for a restore."""


class VolumeMetadata:
    """Save and restore the metadata of volumes, and look for other backups.

    :param version: returns the version to write; the option is mutable.
    """

    def __init__(self, records: Records, version: Callable[[], int] = lambda: 2) -> None:
        self._records = records
        self._version = version

    def get(self, volume_id: str) -> str:
        """Return a volume's metadata as JSON. :raises VolumeNotFound: there is no such volume."""
        volume = self._records.volumes.get(volume_id)
        base = {name: _plain(volume[name]) for name in models.volumes.c.keys()}  # noqa: SIM118
        document = {
            "version": self._version(),
            _BASE: base,
            _USER: dict(volume.metadata),
        }
        if image := dict(volume.glance_metadata):
            document[_IMAGE] = image
        return json.dumps(document)

    def is_being_made(self, backup_id: str) -> bool:
        """Return whether the row of a backup says that its data is still being written."""
        row = self._records.backups.find(backup_id)
        return row is not None and not row.deleted and row.status == BackupStatus.CREATING

    def check(self, volume_id: str, json_metadata: str) -> None:
        """Check that metadata can be restored, before the volume is overwritten.

        :raises BackupMetadataUnsupportedVersion: it is of another version.
        :raises EncryptedBackupOperationFailed: the volume's encryption is another one.
        """
        document = _parsed(json_metadata)
        base, *_others = [_part(document, name) for name in (_BASE, _USER, _IMAGE)]
        key = base.get("encryption_key_id")
        if document["version"] < 2 or not key:
            return
        of_backup = base.get("volume_type_id")
        mine = self._records.volumes.get(volume_id).volume_type_id
        if of_backup != mine:
            text = f"volume {volume_id} has the type {mine}, the encrypted backup {of_backup}"
            raise EncryptedBackupOperationFailed(f"{text}: restore it to a volume of its type")
        self._note_key(volume_id, str(key))

    def _note_key(self, volume_id: str, key_id: str) -> None:
        """Give a backup without a key of its own that of its metadata, as Cinder does.

        Such a backup is older than the column of its key.
        """
        restoring = self._records.backups.list(
            restore_volume_id=volume_id, status=BackupStatus.RESTORING
        )
        for backup in restoring:
            if not backup.encryption_key_id:
                self._records.backups.update(backup.id, encryption_key_id=key_id)

    def put(self, volume_id: str, json_metadata: str) -> None:
        """Restore the fields that the version of the metadata includes."""
        document, volumes = _parsed(json_metadata), self._records.volumes
        volume = volumes.get(volume_id)
        columns = _named(volume, _part(document, _BASE))
        if _USER in document:
            columns["metadata"] = _part(document, _USER)
        image = _part(document, _IMAGE)
        try:
            if image:
                volumes.replace_image_metadata(volume_id, image)
                columns["bootable"] = True
            if columns:
                volumes.update(volume_id, **columns)
        except ValueError as error:
            raise BackupDriverException(f"the backup's metadata does not fit: {error}") from error


def _named(volume: Record, base: Mapping[str, Any]) -> dict[str, Any]:
    """Return name and description, unless a user has named the volume."""
    mine = volume.display_name
    if not base.get("display_name") or (mine and not mine.startswith(_OF_RESTORE)):
        return {}
    return {name: base[name] for name in _NAMES if name in base}


def _parsed(text: str) -> dict[str, Any]:
    if len(text) > _MAX_LENGTH:
        raise BackupDriverException(f"the volume's metadata has {len(text)} characters: too many")
    try:
        document = json.loads(text)
    except (TypeError, ValueError, RecursionError) as error:
        raise BackupDriverException(f"the volume's metadata cannot be read: {error}") from error
    version = document.get("version") if isinstance(document, dict) else None
    if isinstance(version, bool) or version not in VERSIONS:
        known = " and ".join(map(str, VERSIONS))
        text = f"the volume's metadata has the version {version!r:.20}; {known} can be restored"
        raise BackupMetadataUnsupportedVersion(text)
    return dict(document)


def _part(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = document.get(name)
    if found is None:
        return {}
    if not isinstance(found, Mapping):
        raise BackupDriverException(f"the volume's metadata is damaged: {name} is no mapping")
    return dict(found)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime.datetime):
        return value.isoformat()
    return value
