# SPDX-License-Identifier: Apache-2.0
"""Groups of volumes in files: their snapshots are of one moment.

A group is nothing on the backend; its members are. Source: seeds,
VolumeConsistencyGroupDriver.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from oslo_utils import units

from drivers.interface.errors import VolumeBackendAPIException
from drivers.interface.export import ExportDriver
from drivers.interface.group import (
    GroupUpdate,
    Members,
    MemberStatus,
    MemberUpdates,
    VolumeConsistencyGroupDriver,
)
from drivers.interface.records import Record
from drivers.volume.consistent_copy import FileCopy, copy_together
from drivers.volume.file_errors import explained
from drivers.volume.files import Directory
from drivers.volume.in_use import require_unused
from drivers.volume.optional.manage_files import snapshot_file

LOG = logging.getLogger(__name__)


class GroupedFiles(VolumeConsistencyGroupDriver):
    """The part of a driver of files that knows groups."""

    _files: Directory
    _export: ExportDriver | None

    def delete_volume(self, volume: Record) -> None:
        """Delete one."""
        raise NotImplementedError

    def delete_snapshot(self, snapshot: Record) -> None:
        """Delete one."""
        raise NotImplementedError

    def remove_export(self, context: Any, volume: Record) -> None:
        """Stop serving one."""
        raise NotImplementedError

    def create_consistencygroup(self, context: Any, group: Record) -> GroupUpdate:
        """Nothing is to be made."""
        return None

    def create_consistencygroup_from_src(
        self,
        context: Any,
        group: Record,
        volumes: Members,
        cgsnapshot: Record | None = None,
        snapshots: Members | None = None,
        source_cg: Record | None = None,
        source_vols: Members | None = None,
    ) -> tuple[GroupUpdate, MemberUpdates]:
        """Copy the snapshots, or the other group's volumes as of one moment."""
        if snapshots:
            sources = [snapshot_file(snapshot) for snapshot in snapshots]
        else:
            sources = [volume.name for volume in source_vols or ()]
        with explained(self._files, f"create group {group.id}"):
            copies = [self._copy(s, v) for s, v in zip(sources, volumes, strict=True)]
            copy_together(self._files, self._export, copies)
        return None, None

    def delete_consistencygroup(
        self, context: Any, group: Record, volumes: Members
    ) -> tuple[GroupUpdate, MemberUpdates]:
        """Delete the volumes, each by itself."""

        def delete(volume: Record) -> None:
            self.remove_export(context, volume)
            self.delete_volume(volume)

        return _one_by_one(group, volumes, delete)

    def update_consistencygroup(
        self,
        context: Any,
        group: Record,
        add_volumes: Members | None = None,
        remove_volumes: Members | None = None,
    ) -> tuple[GroupUpdate, MemberUpdates, MemberUpdates]:
        """Any volume of this backend can join any group."""
        return None, None, None

    def create_cgsnapshot(
        self, context: Any, cgsnapshot: Record, snapshots: Members
    ) -> tuple[GroupUpdate, MemberUpdates]:
        """Copy the volumes as of one moment, all of them anew."""
        copies = [FileCopy(one.volume_name, snapshot_file(one)) for one in snapshots]
        need = sum(one.volume_size or 0 for one in snapshots)
        with explained(self._files, f"create group snapshot {cgsnapshot.id}", need):
            copy_together(self._files, self._export, copies)
        return None, None

    def delete_cgsnapshot(
        self, context: Any, cgsnapshot: Record, snapshots: Members
    ) -> tuple[GroupUpdate, MemberUpdates]:
        """Delete the snapshots, each by itself."""
        return _one_by_one(cgsnapshot, snapshots, self.delete_snapshot)

    def _copy(self, source: str, volume: Record) -> FileCopy:
        require_unused(self._files, self._export, volume)
        size = volume.size * units.Gi
        if self._files.size(source) > size:
            text = f"{source} is larger than the {volume.size} GiB of volume {volume.id}"
            raise VolumeBackendAPIException(text)
        return FileCopy(source, volume.name, size)


def _one_by_one(
    group: Record, members: Members, delete: Callable[[Record], None]
) -> tuple[GroupUpdate, MemberUpdates]:
    """Delete as many members as possible, and return the status of each."""
    updates = []
    for member in members:
        try:
            delete(member)
        except Exception as error:  # noqa: BLE001 - the other members have their turn
            LOG.error(
                "%s %s of %s %s stays: %s", member.kind, member.id, group.kind, group.id, error
            )
            updates.append({"id": member.id, "status": MemberStatus.ERROR_DELETING})
        else:
            updates.append({"id": member.id, "status": MemberStatus.DELETED})
    return None, updates
