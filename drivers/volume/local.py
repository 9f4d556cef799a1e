# SPDX-License-Identifier: Apache-2.0
"""Volumes as sparse raw files in a directory of this host.

The embedded default, and a real backend for one host: thin, with snapshots and
clones that share data where the file system can (XFS, btrfs) and are sparse
copies where it cannot. A volume is the file of its name, a snapshot the file
``volume@snapshot``, which depends on nothing; a volume that has some is busy all
the same, as the contract says. Consumers get the file's path, or a block device.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from oslo_config import cfg
from oslo_utils import units

from drivers.export import nbd
from drivers.export.unit import Unit
from drivers.interface.errors import (
    InvalidConnectorException,
    VolumeBackendAPIException,
    VolumeIsBusy,
)
from drivers.interface.export import ExportDriver
from drivers.interface.records import Record
from drivers.interface.volume import Update, VolumeDriver
from drivers.volume import changed_extents, consumer_host
from drivers.volume.capacity import report
from drivers.volume.file_errors import explained
from drivers.volume.files import Directory
from drivers.volume.in_use import require_unused
from drivers.volume.optional import image_clone
from drivers.volume.optional.file_groups import GroupedFiles
from drivers.volume.optional.list_files import ListedFiles
from drivers.volume.optional.manage_files import ManagedFiles, snapshot_file
from drivers.volume.optional.retype_migrate import MovedFiles, location_info
from drivers.volume.read_only import is_read_only

LOG = logging.getLogger(__name__)

OPTS: list[cfg.Opt] = [
    cfg.StrOpt(
        "local_path",
        default="$state_path/volumes",
        help="Directory of the volumes. Snapshots and clones cost neither time nor space where "
        "its file system shares data between files (XFS, btrfs).",
    ),
    cfg.StrOpt(
        "local_export",
        default="file",
        choices=[
            ("file", "the path of the file, for consumers on this host"),
            ("nbd", "a network block device, served by qemu-nbd"),
        ],
        help="How consumers reach a volume.",
    ),
    cfg.BoolOpt(
        "local_path_shared",
        default=False,
        help="Whether consumers on other hosts see local_path as well, under the same path, as on "
        "a shared file system. Without it, local_export = file refuses connectors of other "
        "hosts than this one, whose name is the one of the system or the option host.",
    ),
    cfg.StrOpt(
        "local_images",
        default="$state_path/images",
        help="Directory of images whose data volumes may share instead of copying it, where the "
        "image service gives addresses in it and the file system can (XFS, btrfs).",
    ),
]


class LocalDriver(MovedFiles, ListedFiles, VolumeDriver, ManagedFiles, GroupedFiles):
    """Sparse files in a directory."""

    members_at_once: ClassVar[int] = 4
    SUPPORTS_ACTIVE_ACTIVE: ClassVar[bool] = True

    OPTS: ClassVar[list[cfg.Opt]] = [*OPTS, *nbd.OPTS]

    def __init__(self, configuration: Any, *, host: str, **_: Any) -> None:
        super().__init__(configuration, host=host)
        self._stats: dict[str, Any] = {}
        self._export: ExportDriver | None = None

    @classmethod
    def reason_against_cluster(cls, configuration: Any) -> str | None:
        """Refuse a directory of one host, and exports, whose servers are processes of a host."""
        if not configuration.local_path_shared:
            return "its directory is that of one host (local_path_shared)"
        if configuration.local_export != "file":
            return f"its exports are of one host (local_export = {configuration.local_export})"
        return super().reason_against_cluster(configuration)

    def files_directory(self) -> str | None:
        """Return ``local_path``."""
        return str(self.configuration.local_path)

    def do_setup(self, context: Any) -> None:
        """Open the directory and remove the remains of interrupted calls in it."""
        path = Path(self.configuration.local_path)
        try:
            self._files = Directory(path)
        except OSError as error:
            text = f"local_path = {path} cannot be used: {error.strerror}"
            raise VolumeBackendAPIException(text) from error
        for name in self._files.sweep():
            LOG.info("removed %s, which an interrupted operation left in %s", name, path)
        if self.configuration.local_export == "nbd":
            self._export = nbd.NbdExport(
                self._files.path / ".exports",
                self.configuration.local_nbd_address,
                self.configuration.local_nbd_ports,
                self.configuration.local_nbd_tls,
                Unit(self.configuration.local_nbd_socket),
            )

    def check_for_setup_error(self) -> None:
        """Write, read and remove a file; check the requirements of exports."""
        try:
            shares = self._files.probe()
        except OSError as error:
            text = f"local_path = {self._files.path} cannot hold volumes: {error.strerror}"
            raise VolumeBackendAPIException(text) from error
        if not shares:
            LOG.info("%s does not share data: snapshots and clones are copies", self._files.path)
        if self._export is not None:
            self._export.check()

    def get_volume_stats(self, refresh: bool = False) -> Mapping[str, Any]:
        """Return capacity as of the last refresh."""
        if refresh or not self._stats:
            self._stats = self._fresh_stats()
        return dict(self._stats)

    def create_volume(self, volume: Record) -> Update:
        """Make a sparse file; one that an interrupted try left is replaced."""
        with explained(self._files, f"create volume {volume.id}", volume.size):
            require_unused(self._files, self._export, volume)
            self._files.create(volume.name, volume.size * units.Gi)
        return None

    def delete_volume(self, volume: Record) -> None:
        """Remove the file, unless it is in use or has snapshots."""
        with explained(self._files, f"delete volume {volume.id}"):
            require_unused(self._files, self._export, volume)
            prefix = f"{volume.name}@"
            if found := [name for name in self._files.names() if name.startswith(prefix)]:
                text = f"volume {volume.id} has snapshots, delete them first: {', '.join(found)}"
                raise VolumeIsBusy(text)
            self._files.remove(volume.name)

    def clone_image(
        self,
        volume: Record,
        image_location: Any,
        image_id: str,
        image_metadata: Mapping[str, Any],
        image_service: Any,
    ) -> tuple[Update, bool]:
        """Share the data of an image's file, where there is one."""
        with explained(self._files, f"create volume {volume.id}", volume.size):
            require_unused(self._files, self._export, volume)
            where, size = Path(self.configuration.local_images), volume.size * units.Gi
            files, name = self._files, volume.name
            return None, image_clone.clone(files, where, image_location, image_metadata, name, size)

    def extend_volume(self, volume: Record, new_size: int) -> None:
        """Lengthen the file."""
        with explained(self._files, f"extend volume {volume.id}", new_size):
            self._files.grow(volume.name, new_size * units.Gi)
            if self._export is not None:
                self._export.grown(volume.name, self._files.location(volume.name))

    def create_snapshot(self, snapshot: Record) -> Update:
        """Copy the volume as it is now; a snapshot that is there was finished before."""
        name = snapshot_file(snapshot)
        with explained(self._files, f"create snapshot {snapshot.id}", snapshot.volume_size):
            if not self._files.exists(name):
                self._files.copy(snapshot.volume_name, name)
        return None

    def delete_snapshot(self, snapshot: Record) -> None:
        """Remove the copy; nothing depends on it."""
        with explained(self._files, f"delete snapshot {snapshot.id}"):
            self._files.remove(snapshot_file(snapshot))

    def create_volume_from_snapshot(self, volume: Record, snapshot: Record) -> Update:
        """Copy a snapshot and make the copy as large as the volume is to be."""
        return self._create_from(snapshot_file(snapshot), volume)

    def create_cloned_volume(self, volume: Record, src_vref: Record) -> Update:
        """Copy a volume and make the copy as large as the new one is to be."""
        return self._create_from(src_vref.name, volume)

    def revert_to_snapshot(self, context: Any, volume: Record, snapshot: Record) -> None:
        """Put a copy of the snapshot in the volume's place, keeping the volume's size.

        A new file by renaming, not new data in the old file: a crash leaves the one
        or the other. A process with the old file open would continue with it, so none may.
        """
        with explained(self._files, f"revert volume {volume.id}", volume.size):
            require_unused(self._files, self._export, volume)
            size = self._files.size(volume.name)
            self._files.copy(snapshot_file(snapshot), volume.name, size)

    def snapshot_revert_use_temp_snapshot(self) -> bool:
        """The new file takes the old one's place in one step: there is no half way."""
        return False

    def validate_connector(self, connector: Mapping[str, Any]) -> None:
        """Want a name where it is noted who connects, and this host where paths are given."""
        if self._export is not None and not connector.get("host"):
            raise InvalidConnectorException("the connector has no host")
        if self._export is None and not self._sees_files(connector):
            raise InvalidConnectorException(consumer_host.foreign(connector))

    def create_export(
        self, context: Any, volume: Record, connector: Mapping[str, Any] | None
    ) -> Update:
        """Check that the volume is there; it is served when it is known who reads or writes it."""
        with explained(self._files, f"export volume {volume.id}"):
            self._files.location(volume.name)
        return None

    def ensure_export(self, context: Any, volume: Record) -> Update:
        """Serve the volume again if it should be and is not."""
        with explained(self._files, f"export volume {volume.id}"):
            location = self._files.location(volume.name)
            if self._export is not None:
                for read_only in self._export.noted(volume.name) or [is_read_only(volume, {})]:
                    self._export.ensure(volume.name, location, read_only=read_only)
        return None

    def remove_export(self, context: Any, volume: Record) -> None:
        """Stop serving the volume to hosts without an attachment.

        The call may be an old one, after which another host or instance attached the volume.
        """
        if self._export is not None:
            keep = consumer_host.attached(volume.get("volume_attachment") or ())
            with explained(self._files, f"remove the export of volume {volume.id}"):
                self._export.remove(volume.name, keep=keep)

    def detach_volume(self, context: Any, volume: Record, attachment: Record | None = None) -> None:
        """Let the attachment's host go, unless another attachment of it remains."""
        if self._export is None or attachment is None:
            return
        others = [one for one in volume.volume_attachment if one.id != attachment.id]
        stay, go = consumer_host.attached(others), consumer_host.attached([attachment])
        with explained(self._files, f"disconnect volume {volume.id}"):
            for host in go - stay if None not in stay else ():
                self._export.disconnect(volume.name, host)

    def initialize_connection(
        self,
        volume: Record,
        connector: Mapping[str, Any],
        initiator_data: Mapping[str, str] | None = None,
    ) -> Mapping[str, Any]:
        """Return the file's path, or where it is served."""
        with explained(self._files, f"connect volume {volume.id}"):
            location = self._files.location(volume.name)
            if self._export is None or self._takes_file(connector):
                if not self._sees_files(connector):
                    raise VolumeBackendAPIException(consumer_host.foreign(connector))
                return {"driver_volume_type": "local", "data": {"device_path": location}}
            read_only = is_read_only(volume, connector)
            self._export.ensure(volume.name, location, read_only=read_only)
            host = str(connector["host"])
            where = self._export.connect(volume.name, host, read_only=read_only)
            return {"driver_volume_type": self._export.protocol, "data": dict(where)}

    def terminate_connection(
        self, volume: Record, connector: Mapping[str, Any] | None
    ) -> bool | None:
        """Let a host go, unless another attachment of it remains; without one, all.

        True also where other hosts remain: their server must not be removed.
        """
        if self._export is None or self._takes_file(connector):
            return None
        host = None if connector is None else str(connector.get("host"))
        if host is not None and _attachments(volume, host) > 1:
            return True
        with explained(self._files, f"disconnect volume {volume.id}"):
            self._export.disconnect(volume.name, host)
        return bool(self._export.noted(volume.name))

    def changed_extents(self, source: Record, since: Record) -> Sequence[tuple[int, int]] | None:
        """Compare where the files lie: copies by reference share unchanged extents."""
        name = snapshot_file(source) if source.kind == "snapshot" else source.name
        try:
            return changed_extents.changed(
                self._files.location(name), self._files.location(snapshot_file(since))
            )
        except OSError:
            return None  # this file system does not report it

    def create_export_snapshot(
        self, context: Any, snapshot: Record, connector: Mapping[str, Any] | None
    ) -> Update:
        """A snapshot is read as a file: nothing is to be made."""
        return None

    def remove_export_snapshot(self, context: Any, snapshot: Record) -> None:
        """There is none."""

    def initialize_connection_snapshot(
        self, snapshot: Record, connector: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """Return the file's path, for consumers on this host."""
        with explained(self._files, f"connect snapshot {snapshot.id}"):
            if not self._takes_file(connector):
                raise VolumeBackendAPIException(f"only {socket.gethostname()} reads snapshots")
            location = self._files.location(snapshot_file(snapshot))
            return {"driver_volume_type": "local", "data": {"device_path": location}}

    def terminate_connection_snapshot(
        self, snapshot: Record, connector: Mapping[str, Any] | None
    ) -> bool | None:
        """Consumers are not tracked."""
        return None

    def secure_file_operations_enabled(self) -> bool:
        """The files belong to the service's user."""
        return True

    def get_pool(self, volume: Record) -> str | None:
        """There is one pool, called like the backend."""
        return self._name()

    def _takes_file(self, connector: Mapping[str, Any] | None) -> bool:
        """Return whether it is the worker itself, on this host, that wants a volume."""
        if not connector or not connector.get("do_local_attach"):
            return False
        return connector.get("host") == socket.gethostname()

    def _sees_files(self, connector: Mapping[str, Any]) -> bool:
        """Return whether the path of a file is that of the same file for a consumer."""
        shared: bool = self.configuration.local_path_shared
        return shared or consumer_host.is_here(connector, self.host)

    def _create_from(self, source: str, volume: Record) -> Update:
        with explained(self._files, f"create volume {volume.id}", volume.size):
            require_unused(self._files, self._export, volume)
            size = volume.size * units.Gi
            if self._files.size(source) > size:
                text = f"{source} is larger than the {volume.size} GiB of volume {volume.id}"
                raise VolumeBackendAPIException(text)
            self._files.copy(source, volume.name, size)
        return None

    def _fresh_stats(self) -> dict[str, Any]:
        export = self._export
        return {
            "volume_backend_name": self._name(),
            "vendor_name": "Holdfast",
            "driver_version": "1.0.0",
            "storage_protocol": "local" if export is None else export.protocol,
            **report(self._files.space(), self._files.entries()),
            "reserved_percentage": self.configuration.reserved_percentage,
            "max_over_subscription_ratio": self.configuration.max_over_subscription_ratio,
            "multiattach": export is not None and export.multiattach,
            "online_extend_support": export is None or export.online_extend_support,
            "consistencygroup_support": True,
            "consistent_group_snapshot_enabled": True,
            "location_info": location_info(self._files),
        }

    def _name(self) -> str:
        return self.configuration.safe_get("volume_backend_name") or self.host.partition("@")[2]


def _attachments(volume: Record, host: str) -> int:
    """Return how many attachments of a volume a host has, the one that ends included."""
    found = volume.get("volume_attachment") or ()
    return sum(1 for one in found if one.attached_host == host)
