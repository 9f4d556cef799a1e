# SPDX-License-Identifier: Apache-2.0
"""Names that Cinder gives to images, snapshots and objects of backups in a Ceph pool.

======================================  =====================================================
name                                    of
======================================  =====================================================
``volume-<volume>.backup.<full>``       the base image: that of a full backup and of the
                                        incremental ones on it
``volume-<volume>.backup.base``         one base image of a volume, as Cinder makes it for
                                        backups of snapshots, and made it for all of them; never
                                        written here, since other backups may lie there
``backup.<backup>.snap.<Unix time>``    the snapshot of the base that is the backup, and of the
                                        source, of the same moment
``backup.<backup>.meta``                the object with the metadata of the volume
======================================  =====================================================

``service_metadata`` of a backup is ``{"base": "<base image>"}``.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable
from typing import Any

from drivers.interface.errors import BackupDriverException
from drivers.interface.records import Record

_ID = r"[0-9A-Za-z-]{1,64}"
_BASE = re.compile(rf"volume-(?P<volume>{_ID})\.backup\.(?P<end>{_ID})")
_SNAPSHOT = re.compile(r"backup\.(?P<backup>[a-z0-9\-]+?)\.snap\.(?P<time>.+)")

_SHARED_END = "base"


def own_base(backup: Record) -> str:
    """Return the base image that only a full backup and those on it use."""
    return f"volume-{_id(backup.volume_id)}.backup.{_id(backup.id)}"


def shared_base(backup: Record) -> str:
    """Return the base image in which Cinder keeps backups of snapshots."""
    return f"volume-{_id(backup.volume_id)}.backup.{_SHARED_END}"


def is_base(name: str) -> bool:
    """Return whether an image is a base image."""
    return _BASE.fullmatch(name) is not None


def owner_of(base: str) -> str | None:
    """Return the full backup that a base image is named after; None for that of several."""
    found = _BASE.fullmatch(base)
    return None if found is None or found["end"] == _SHARED_END else found["end"]


def recorded_base(backup: Record) -> str | None:
    """Return the base image that the row of a backup names.

    :raises BackupDriverException: the row names another image than one of the volume's backups.
    """
    text = backup.service_metadata
    if not text:
        return None
    try:
        name = json.loads(text)["base"]
    except (ValueError, KeyError, TypeError):
        name = None
    found = _BASE.fullmatch(name) if isinstance(name, str) else None
    if found is None or found["volume"] != str(backup.volume_id):
        wanted = f"of a base image of volume {backup.volume_id}"
        text = f"backup {backup.id}: service_metadata {str(text)!r:.120} is not the name {wanted}"
        raise BackupDriverException(text)
    return str(name)


def bases(backup: Record) -> list[str]:
    """Return the base images on which a backup may lie, the most probable first.

    Rows of backups that Cinder made of snapshots, or of other volumes than Ceph's, name none.
    """
    found = [recorded_base(backup)]
    if found[0] is None and backup.parent_id:
        parent = backup.parent
        found += [recorded_base(parent) if parent is not None else None, shared_base(backup)]
    found += [own_base(backup), shared_base(backup)]
    return [name for name in dict.fromkeys(found) if name is not None]


def service_metadata(base: str) -> str:
    """Return the column that names a base image."""
    return json.dumps({"base": base})


def new_snapshot(backup_id: str) -> str:
    """Return a name for the snapshot of a backup that is made now."""
    return f"backup.{_id(backup_id)}.snap.{time.time():.2f}"


def snapshot_of(backup_id: str, names: Iterable[str], label: str) -> str | None:
    """Return the snapshot of a backup among those of an image.

    :raises BackupDriverException: there are two of them, one of which is of another moment.
    """
    found = [name for name in names if backup_of(name) == backup_id]
    if len(found) > 1:
        text = f"{label} has {len(found)} snapshots of backup {backup_id}: {', '.join(found)}"
        raise BackupDriverException(f"{text}; remove the wrong ones")
    return found[0] if found else None


def backup_of(snapshot: str) -> str | None:
    """Return the id of the backup whose snapshot it is; None for other snapshots."""
    found = _SNAPSHOT.fullmatch(snapshot)
    return found["backup"] if found else None


def moment_of(snapshot: str) -> float:
    """Return the time in the name of a snapshot."""
    found = _SNAPSHOT.fullmatch(snapshot)
    try:
        return float(found["time"]) if found else 0.0
    except ValueError:
        return 0.0


def metadata_object(backup: Record) -> str:
    """Return the object with the metadata of the volume."""
    return f"backup.{_id(backup.id)}.meta"


def progress_object(base: str) -> str:
    """Return the object with the progress of the backup that is being written to a base image."""
    return f"holdfast.{base}.progress"


def restore_object(backup: Record) -> str:
    """Return the object with the progress of the restore of a backup."""
    return f"holdfast.backup.{_id(backup.id)}.restore"


def _id(value: Any) -> str:
    """:raises BackupDriverException: it is no id, and must not be a part of a name."""
    if not re.fullmatch(_ID, str(value)):
        raise BackupDriverException(f"{str(value)!r:.80} is no id: names in the pool contain it")
    return str(value)
