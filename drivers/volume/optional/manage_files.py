# SPDX-License-Identifier: Apache-2.0
"""Take files over that lie in the directory of volumes already, and let them go.

A file is named by ``source-name``, its name in the directory, or by ``source-id``, its
inode, which it keeps however it is called; by both only where they mean the same file.
It is renamed to the name of its volume or snapshot. Letting go keeps file and name.

Source: seeds, VolumeManagementDriver and VolumeSnapshotManagementDriver.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from oslo_utils import units

from drivers import disk_formats
from drivers.interface.errors import (
    ManageExistingInvalidReference,
    ManageExistingVolumeTypeMismatch,
)
from drivers.interface.export import ExportDriver
from drivers.interface.listing import page
from drivers.interface.manage import Reference, VolumeManagementDriver
from drivers.interface.optional import Update
from drivers.interface.records import Record
from drivers.interface.snapshot import VolumeSnapshotManagementDriver
from drivers.volume.file_errors import explained
from drivers.volume.files import Directory, UnsafeName
from drivers.volume.in_use import user_of

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class ManagedFiles(VolumeManagementDriver, VolumeSnapshotManagementDriver):
    """The part of a driver of files that takes files over."""

    configuration: Any
    _files: Directory
    _export: ExportDriver | None

    def _name(self) -> str:
        raise NotImplementedError

    def manage_existing_get_size(self, volume: Record, existing_ref: Reference) -> int:
        """Return the file's size in GiB, rounded up."""
        with explained(self._files, f"look at the file for volume {volume.id}"):
            return _gib(self._files.size(self._found(existing_ref, volume.name)))

    def manage_existing(self, volume: Record, existing_ref: Reference) -> Update:
        """Rename the file, and lengthen it to whole GiB."""
        with explained(self._files, f"manage volume {volume.id}"):
            name = self._found(existing_ref, volume.name)
            _check_type(volume, self._name())
            self._files.rename(name, volume.name)
            self._files.grow(volume.name, _gib(self._files.size(volume.name)) * units.Gi)
        return None

    def unmanage(self, volume: Record) -> None:
        """Leave the file as it is, under its name."""

    def get_manageable_volumes(
        self,
        cinder_volumes: Sequence[Record],
        marker: Any,
        limit: int,
        offset: int,
        sort_keys: Sequence[str],
        sort_dirs: Sequence[str],
    ) -> list[dict[str, Any]]:
        """List all files but snapshots."""
        owners = {volume.name: volume.id for volume in cinder_volumes}
        found = [
            self._listed(name, entry, owners.get(name))
            for name, entry in self._files.entries().items()
            if "@" not in name
        ]
        return page(found, marker, limit, offset, sort_keys, sort_dirs)

    def manage_existing_snapshot_get_size(self, snapshot: Record, existing_ref: Reference) -> int:
        """Return the file's size in GiB, rounded up."""
        with explained(self._files, f"look at the file for snapshot {snapshot.id}"):
            name = self._found(existing_ref, snapshot_file(snapshot))
            size, of_volume = self._files.size(name), self._files.size(snapshot.volume_name)
            if size > of_volume:
                text = f"has {size} bytes, more than the {of_volume} of volume {snapshot.volume_id}"
                raise ManageExistingInvalidReference(f"{name} {text}, of which it is no snapshot")
            return _gib(size)

    def manage_existing_snapshot(self, snapshot: Record, existing_ref: Reference) -> Update:
        """Rename the file."""
        with explained(self._files, f"manage snapshot {snapshot.id}"):
            target = snapshot_file(snapshot)
            self._files.rename(self._found(existing_ref, target), target)
        return None

    def unmanage_snapshot(self, snapshot: Record) -> None:
        """Rename the file, so that its volume has one snapshot less."""
        with explained(self._files, f"unmanage snapshot {snapshot.id}"):
            name = snapshot_file(snapshot)
            if self._files.exists(name):
                self._files.rename(name, f"unmanaged-{name}")

    def get_manageable_snapshots(
        self,
        cinder_snapshots: Sequence[Record],
        marker: Any,
        limit: int,
        offset: int,
        sort_keys: Sequence[str],
        sort_dirs: Sequence[str],
    ) -> list[dict[str, Any]]:
        """List the files of snapshots, each with the file of its volume."""
        owners = {snapshot_file(snapshot): snapshot.id for snapshot in cinder_snapshots}
        found = []
        for name, entry in self._files.entries().items():
            source, at, _ = name.partition("@")
            if at:
                listed = self._listed(name, entry, owners.get(name))
                source = source.removeprefix("unmanaged-")
                found.append({**listed, "source_reference": {"source-name": source}})
        return page(found, marker, limit, offset, sort_keys, sort_dirs)

    def _found(self, ref: Reference, target: str) -> str:
        """Return the name of the file that a reference means, which may be ours already.

        :param target: its name once it is taken over.
        :raises ManageExistingInvalidReference: none, not one, or none to take over.
        """
        name = self._resolved(ref, target)
        if not self._is_there(name):
            raise ManageExistingInvalidReference(f"{name} is not in {self._files.path}")
        if name != target and (problem := self._problem(name)):
            raise ManageExistingInvalidReference(f"{name}: {problem}")
        return name

    def _resolved(self, ref: Reference, target: str) -> str:
        name, inode = ref.get("source-name"), ref.get("source-id")
        if name is None and inode is None:
            text = f"names no file in {self._files.path}: give source-name or source-id"
            raise ManageExistingInvalidReference(f"{dict(ref)!r:.200} {text}")
        by_inode = None if inode is None else self._of_inode(inode, target)
        if name is None:
            return str(by_inode)
        if not isinstance(name, str):
            raise ManageExistingInvalidReference(f"source-name {name!r:.80} is no file name")
        renamed = not self._is_there(name) and self._is_there(target)
        found = target if renamed else name
        if by_inode not in (None, found):
            raise ManageExistingInvalidReference(f"source-id {inode} is {by_inode}, not {name}")
        return found

    def _of_inode(self, inode: Any, target: str) -> str:
        wanted = str(inode)
        for name, entry in self._files.entries().items():
            if str(entry.st_ino) != wanted:
                continue
            if name != target and _UUID.search(name) and not name.startswith("unmanaged-"):
                # The service recognises a file by its name, not by its inode.
                text = f"source-id {wanted} is {name}, maybe a volume's: say so by source-name"
                raise ManageExistingInvalidReference(text)
            return name
        raise ManageExistingInvalidReference(f"no file in {self._files.path} is inode {wanted:.80}")

    def _is_there(self, name: str) -> bool:
        try:
            return self._files.exists(name)
        except UnsafeName as error:
            raise ManageExistingInvalidReference(str(error)) from error

    def _listed(self, name: str, entry: os.stat_result, owner: str | None) -> dict[str, Any]:
        problem = "already managed" if owner else self._problem(name)
        return {
            "reference": {"source-name": name},
            "size": _gib(entry.st_size),
            "safe_to_manage": problem is None,
            "reason_not_safe": problem,
            "cinder_id": owner,
            "extra_info": {"source-id": str(entry.st_ino)},
        }

    def _problem(self, name: str) -> str | None:
        """Return why a file cannot be taken over; None where it can."""
        with self._files.opened(name) as fd:
            if os.fstat(fd).st_nlink > 1:
                return "it has another name as well, under which its data could be changed"
            if self._export is not None and self._export.is_up(name):
                return "it is exported"
            if user := user_of(fd):
                return f"it is in use by {user}"
            if kind := other_format(fd):
                return f"it is a {kind} image, not a raw disk: convert it with qemu-img first"
        return None


def other_format(fd: int) -> str | None:
    """Return the format of a file that is no raw disk; None where it is one."""
    found = disk_formats.recognised(os.pread(fd, disk_formats.HEAD, 0))
    return None if found == "raw" else found


def snapshot_file(snapshot: Record) -> str:
    """Return the name of a snapshot's file."""
    return f"{snapshot.volume_name}@{snapshot.name}"


def _gib(size: int) -> int:
    return max(1, -(-size // units.Gi))


def _check_type(volume: Record, backend: str) -> None:
    """:raises ManageExistingVolumeTypeMismatch: the type is one of another backend."""
    kind = volume.volume_type
    specs: Mapping[str, Any] = (kind or {}).get("extra_specs") or {}
    wanted = specs.get("volume_backend_name")
    if isinstance(wanted, str) and " " not in wanted and wanted != backend:
        text = f"type {kind.name} wants backend {wanted}, the file is on {backend}"
        raise ManageExistingVolumeTypeMismatch(f"volume {volume.id}: {text}")
