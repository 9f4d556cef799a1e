# SPDX-License-Identifier: Apache-2.0
"""Keys of encrypted volumes and snapshots against their types and volumes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from flows.statuses import SnapshotStatus, VolumeStatus
from worker.audit.drift import Drift, kind
from worker.audit.row_times import last_written
from worker.audit.sources import Look
from worker.db import models

_V, _S, _E = models.volumes, models.snapshots, models.encryption

_AT_REST = _V.c.status.in_((VolumeStatus.AVAILABLE, VolumeStatus.IN_USE))
_ENCRYPTED = sa.exists().where(
    _E.c.volume_type_id == _V.c.volume_type_id, _E.c.deleted == sa.false()
)
_VOLUMES = sa.select(_V.c.id, _V.c.host, _V.c.created_at, _V.c.updated_at).where(
    _V.c.deleted == sa.false(), _AT_REST
)
_KEY = _V.c.encryption_key_id
_DIFFERS = sa.func.coalesce(_S.c.encryption_key_id, "") != sa.func.coalesce(_KEY, "")


@kind(
    subject="encryption of volume types; encryption_key_id of volumes",
    meaning="Hosts cannot open the volume, or its data is not encrypted.",
    remedy="Look for the key in the key manager; the creation of the volume has its id in the log.",
)
def volume_key_missing(look: Look) -> Iterator[Drift]:
    """Yield volumes of an encrypted type without a key."""
    for _backend, row in look.on_backends(_VOLUMES.where(_ENCRYPTED, _KEY.is_(None))):
        yield _drift(row, "is of an encrypted type, and has no key")


@kind(
    subject="encryption_key_id of volumes; encryption of volume types",
    meaning="Hosts are given no cipher for the volume, and read encrypted data.",
    remedy="Give the type its encryption back, or retype the volume.",
)
def volume_key_unexpected(look: Look) -> Iterator[Drift]:
    """Yield volumes with a key whose type is not encrypted."""
    for _backend, row in look.on_backends(_VOLUMES.where(~_ENCRYPTED, _KEY.is_not(None))):
        yield _drift(row, "has a key, and its type is not encrypted")


@kind(
    subject="encryption_key_id of snapshots; that of their volumes",
    meaning="A volume that is made of the snapshot cannot be opened.",
    remedy="Set the key of the snapshot to that of its volume.",
)
def snapshot_key_differs(look: Look) -> Iterator[Drift]:
    """Yield snapshots whose key is not that of the volume."""
    columns = (_S.c.id, _S.c.volume_id, _S.c.created_at, _S.c.updated_at, _V.c.host)
    found = sa.select(*columns).join(_V, _V.c.id == _S.c.volume_id)
    available = _S.c.status == SnapshotStatus.AVAILABLE
    live = sa.and_(_S.c.deleted == sa.false(), _V.c.deleted == sa.false(), _AT_REST, available)
    for _backend, row in look.on_backends(found.where(live, _DIFFERS)):
        text = "the snapshot has another key than its volume"
        yield Drift("snapshot", row.id, row.host, text, (row.volume_id,), last_written(row))


def _drift(row: Any, text: str) -> Drift:
    return Drift("volume", row.id, row.host, f"the volume {text}", (), last_written(row))
