# SPDX-License-Identifier: Apache-2.0
"""Volumes as sparse raw files in a directory of this host.

The embedded default, and a real backend for one host: thin, with snapshots and
clones that share data where the file system can (XFS, btrfs) and are sparse
copies where it cannot. Snapshots are files of their own, so a volume that has
some can be deleted, and nothing depends on anything.

Consumers get the file's path, or a block device over NBD.
"""

from __future__ import annotations

import contextlib
import errno
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from oslo_config import cfg

from drivers.export.nbd import NbdExport
from drivers.interface.errors import (
    InvalidConnectorException,
    VolumeBackendAPIException,
    VolumeDriverException,
)
from drivers.interface.records import Record
from drivers.interface.volume import Update, VolumeDriver
from drivers.volume.files import Directory, UnsafeName

LOG = logging.getLogger(__name__)

GIB = 1024**3
VERSION = "1.0.0"

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
    cfg.StrOpt(
        "local_nbd_address",
        default="",
        help="Address on which network block devices are served, each on a port of its own. "
        "Empty: a socket beside the volumes, for consumers on this host.",
    ),
]


class LocalDriver(VolumeDriver):
    """Sparse files in a directory."""

    OPTS: ClassVar[list[cfg.Opt]] = OPTS

    def __init__(self, configuration: Any, *, host: str, **_: Any) -> None:
        super().__init__(configuration, host=host)
        self._stats: dict[str, Any] = {}
        self._nbd: NbdExport | None = None

    def do_setup(self, context: Any) -> None:
        """Open the directory and remove what interrupted calls left in it."""
        path = Path(self.configuration.local_path)
        self._files = Directory(path)
        for name in self._files.sweep():
            LOG.info("removed %s, which an interrupted operation left in %s", name, path)
        if self.configuration.local_export == "nbd":
            address = self.configuration.local_nbd_address
            self._nbd = NbdExport(self._files.path / ".exports", address)

    def check_for_setup_error(self) -> None:
        """Write, read and remove a file; look for the export's program."""
        probe = "holdfast-probe"
        try:
            self._files.create(probe, 4096)
            found = self._files.size(probe)
            self._files.remove(probe)
        except OSError as error:
            text = f"{self._files.path} cannot hold volumes: {error.strerror}"
            raise VolumeBackendAPIException(text) from error
        if found != 4096:
            raise VolumeBackendAPIException(f"{self._files.path} does not keep what is written")
        if self._nbd is not None:
            self._nbd.check()

    def get_volume_stats(self, refresh: bool = False) -> Mapping[str, Any]:
        """Return capacity as of the last refresh."""
        if refresh or not self._stats:
            self._stats = self._fresh_stats()
        return self._stats

    def create_volume(self, volume: Record) -> Update:
        """Make a sparse file; one that an interrupted try left is replaced."""
        with self._told(f"create volume {volume.id}", volume.size):
            self._files.create(volume.name, volume.size * GIB)
        return None

    def delete_volume(self, volume: Record) -> None:
        """Remove the file; the file system zeroes its blocks before anybody reads them."""
        with self._told(f"delete volume {volume.id}"):
            self._files.remove(volume.name)

    def extend_volume(self, volume: Record, new_size: int) -> None:
        """Lengthen the file; an export of it is made anew with the new size."""
        with self._told(f"extend volume {volume.id}", new_size):
            self._files.grow(volume.name, new_size * GIB)
        if self._nbd is not None and self._nbd.is_up(volume.name):
            self._nbd.remove(volume.name)
            self._nbd.ensure(volume.name, self._files.location(volume.name))

    def create_snapshot(self, snapshot: Record) -> Update:
        """Copy the volume as it is now."""
        with self._told(f"create snapshot {snapshot.id}", snapshot.volume_size):
            self._files.copy(snapshot.volume_name, snapshot.name)
        return None

    def delete_snapshot(self, snapshot: Record) -> None:
        """Remove the copy."""
        with self._told(f"delete snapshot {snapshot.id}"):
            self._files.remove(snapshot.name)

    def create_volume_from_snapshot(self, volume: Record, snapshot: Record) -> Update:
        """Copy a snapshot and make the copy as large as the volume is to be."""
        self._copy(snapshot.name, volume)
        return None

    def create_cloned_volume(self, volume: Record, src_vref: Record) -> Update:
        """Copy a volume and make the copy as large as the new one is to be."""
        self._copy(src_vref.name, volume)
        return None

    def revert_to_snapshot(self, context: Any, volume: Record, snapshot: Record) -> None:
        """Put a copy of the snapshot in the volume's place, keeping the volume's size."""
        with self._told(f"revert volume {volume.id}", volume.size):
            size = max(self._files.size(volume.name), volume.size * GIB)
            self._files.copy(snapshot.name, volume.name, size)

    def snapshot_revert_use_temp_snapshot(self) -> bool:
        """The new file takes the old one's place in one step: there is no half way."""
        return False

    def validate_connector(self, connector: Mapping[str, Any]) -> None:
        """Want a host's name, to know who connects."""
        if not connector.get("host"):
            raise InvalidConnectorException("the connector has no host")

    def create_export(
        self, context: Any, volume: Record, connector: Mapping[str, Any] | None
    ) -> Update:
        """Serve the volume over NBD, where that is how consumers reach it."""
        self.ensure_export(context, volume)
        return None

    def ensure_export(self, context: Any, volume: Record) -> Update:
        """Serve the volume again if it should be and is not."""
        with self._told(f"export volume {volume.id}"):
            location = self._files.location(volume.name)
            if self._nbd is not None:
                self._nbd.ensure(volume.name, location)
        return None

    def remove_export(self, context: Any, volume: Record) -> None:
        """Stop serving the volume."""
        if self._nbd is not None:
            self._nbd.remove(volume.name)

    def initialize_connection(
        self,
        volume: Record,
        connector: Mapping[str, Any],
        initiator_data: Mapping[str, str] | None = None,
    ) -> Mapping[str, Any]:
        """Return the file's path, or where it is served."""
        with self._told(f"connect volume {volume.id}"):
            location = self._files.location(volume.name)
            if self._nbd is None:
                return {"driver_volume_type": "local", "data": {"device_path": location}}
            where = self._nbd.ensure(volume.name, location)
            return {"driver_volume_type": "nbd", "data": dict(where)}

    def terminate_connection(
        self, volume: Record, connector: Mapping[str, Any] | None
    ) -> bool | None:
        """Nothing is kept per connector; without one, all consumers are cut off."""
        if connector is None:
            self.remove_export(None, volume)
        return None

    def secure_file_operations_enabled(self) -> bool:
        """The files belong to the service's user."""
        return True

    def get_pool(self, volume: Record) -> str | None:
        """There is one pool, called like the backend."""
        return self._name()

    def _copy(self, source: str, volume: Record) -> None:
        with self._told(f"create volume {volume.id}", volume.size):
            size = max(self._files.size(source), volume.size * GIB)
            self._files.copy(source, volume.name, size)

    def _fresh_stats(self) -> dict[str, Any]:
        total, free = self._files.space()
        sizes = self._files.sizes()
        return {
            "volume_backend_name": self._name(),
            "vendor_name": "Holdfast",
            "driver_version": VERSION,
            "storage_protocol": "nbd" if self._nbd else "local",
            "total_capacity_gb": round(total / GIB, 2),
            "free_capacity_gb": round(free / GIB, 2),
            "provisioned_capacity_gb": round(sum(sizes.values()) / GIB, 2),
            "reserved_percentage": self.configuration.reserved_percentage,
            "max_over_subscription_ratio": self.configuration.max_over_subscription_ratio,
            "thin_provisioning_support": True,
            "thick_provisioning_support": False,
            "total_volumes": len(sizes),
            "multiattach": False,
            "QoS_support": False,
            "sparse_copy_volume": True,
            # A consumer of a served device has to connect again to see that it has grown.
            "online_extend_support": self._nbd is None,
            "location_info": f"LocalDriver:{self.host}:{self._files.path}",
        }

    def _name(self) -> str:
        return self.configuration.safe_get("volume_backend_name") or self.host.partition("@")[2]

    @contextlib.contextmanager
    def _told(self, what: str, need: int | None = None) -> Iterator[None]:
        """Tell what went wrong with which resource, and what to do.

        :param need: GiB that were to be held, for the case that they are not there.
        """
        try:
            yield
        except UnsafeName as error:
            raise VolumeDriverException(f"cannot {what}: {error}") from error
        except FileNotFoundError as error:
            missing = f"{error.filename} is not in {self._files.path}"
            raise VolumeBackendAPIException(f"cannot {what}: {missing}") from error
        except OSError as error:
            text = f"cannot {what} in {self._files.path}: {error.strerror}"
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                free = self._files.space()[1] / GIB
                text += f" ({need} GiB wanted at most, {free:.2f} GiB free): delete or extend"
            raise VolumeBackendAPIException(text) from error
