# SPDX-License-Identifier: Apache-2.0
"""Existing objects that become volumes and snapshots, by a driver of Cinder's."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cinder import utils

from drivers.cinder.adapter import CinderDriver, update
from drivers.cinder.error_translation import translated
from drivers.cinder.translation import cinders, listed
from drivers.interface.listing import SNAPSHOT, VOLUME, BackendObject
from drivers.interface.manage import Reference
from drivers.interface.optional import Update
from drivers.interface.records import Record


class ManageVolumes(CinderDriver):
    """Of :class:`drivers.interface.manage.VolumeManagementDriver`."""

    def manage_existing_get_size(self, volume: Record, existing_ref: Reference) -> int:
        with translated():
            return int(self._made.manage_existing_get_size(cinders(volume), dict(existing_ref)))

    def manage_existing(self, volume: Record, existing_ref: Reference) -> Update:
        return self._update("manage_existing", volume, dict(existing_ref))

    def unmanage(self, volume: Record) -> None:
        with translated():
            self._made.unmanage(cinders(volume))
        utils.clean_volume_file_locks(volume.id, self._made)

    def get_manageable_volumes(
        self, cinder_volumes: Sequence[Record], *page: Any
    ) -> list[dict[str, Any]]:
        with translated():
            return list(self._made.get_manageable_volumes(listed(cinder_volumes), *page) or ())


class ManageSnapshots(CinderDriver):
    """Of :class:`drivers.interface.snapshot.VolumeSnapshotManagementDriver`."""

    def manage_existing_snapshot_get_size(self, snapshot: Record, existing_ref: Reference) -> int:
        given = cinders(snapshot)
        with translated():
            return int(self._made.manage_existing_snapshot_get_size(given, dict(existing_ref)))

    def manage_existing_snapshot(self, snapshot: Record, existing_ref: Reference) -> Update:
        given = cinders(snapshot)
        with translated():
            answer = self._made.manage_existing_snapshot(given, dict(existing_ref))
            return update(snapshot, given, answer)

    def unmanage_snapshot(self, snapshot: Record) -> None:
        with translated():
            self._made.unmanage_snapshot(cinders(snapshot))
        utils.clean_snapshot_file_locks(snapshot.id, self._made)

    def get_manageable_snapshots(
        self, cinder_snapshots: Sequence[Record], *page: Any
    ) -> list[dict[str, Any]]:
        with translated():
            return list(self._made.get_manageable_snapshots(listed(cinder_snapshots), *page) or ())


class ListsObjects(CinderDriver):
    """Of :class:`drivers.interface.optional.Reporting`: by the lists of manageable objects."""

    def list_objects(
        self, volumes: Iterable[Record], snapshots: Iterable[Record]
    ) -> Sequence[BackendObject]:
        with translated():
            volumes_found = self._made.get_manageable_volumes(listed(list(volumes)), *_ALL)
            found = [_object(VOLUME, entry) for entry in volumes_found or ()]
            snapshots_found = self._made.get_manageable_snapshots(listed(list(snapshots)), *_ALL)
            return [*found, *(_object(SNAPSHOT, entry) for entry in snapshots_found or ())]


_ALL: tuple[Any, ...] = (None, 10_000_000, 0, ["reference"], ["asc"])
"""Marker, limit, offset and order of the whole list."""


def _object(kind: str, entry: Mapping[str, Any]) -> BackendObject:
    return BackendObject(
        kind,
        _name(entry["reference"]),
        entry.get("size"),
        volume_name=_name(entry["source_reference"]) if entry.get("source_reference") else None,
        owner=entry.get("cinder_id"),
    )


def _name(reference: Mapping[str, Any]) -> str:
    return str(reference.get("source-name") or json.dumps(dict(reference), sort_keys=True))
