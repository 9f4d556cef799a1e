# SPDX-License-Identifier: Apache-2.0
"""Helper objects on a backend that live for one operation and have no row.

Their names carry the id of the operation's resource, so that a second try meets
the remains of the first. The original's identity on the backend is removed:
a driver that goes by it would otherwise delete the original.
"""

from __future__ import annotations

import uuid
from typing import Any

from drivers.interface.records import Record
from flows.statuses import SnapshotStatus, VolumeStatus

_SNAPSHOT_STATUS = SnapshotStatus.CREATING
_VOLUME_STATUS = VolumeStatus.IN_USE

_NOWHERE: dict[str, Any] = {"provider_location": None, "provider_id": None, "provider_auth": None}


def temporary_snapshot(source: Record, clone_id: str) -> Record:
    """The snapshot through which a volume is cloned by a driver that has no clones of its own."""
    fields = {
        "id": clone_id,
        "name": f"clone-{clone_id}",
        "volume_id": source.id,
        "volume_name": source.name,
        "volume_size": source.size,
        "volume_type_id": source.volume_type_id,
        "volume": source,
        "user_id": source.user_id,
        "project_id": source.project_id,
        "status": _SNAPSHOT_STATUS,
        "encryption_key_id": source.encryption_key_id,
        "metadata": {},
    }
    return Record("snapshot", {**fields, **_NOWHERE})


def temporary_volume(volume: Record, snapshot: Record) -> Record:
    """A volume with a snapshot's data, for a driver that cannot revert by itself.

    Only operations on ``volume`` use it, so its lock covers the temporary volume as well.
    """
    own_id = _temporary_id(volume, snapshot)
    return volume.replace(
        id=own_id,
        _name_id=None,
        name_id=own_id,
        name=f"revert-{own_id}",
        size=snapshot.volume_size,
        snapshot_id=snapshot.id,
        source_volid=None,
        status=_VOLUME_STATUS,
        use_quota=False,
        provider_geometry=None,
        **_NOWHERE,
    )


def _temporary_id(volume: Record, snapshot: Record) -> str:
    """Return the snapshot's id, or an own id where several volumes may be written from it."""
    if snapshot.volume_id == volume.id:
        return str(snapshot.id)
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{volume.id} {snapshot.id}"))
