# SPDX-License-Identifier: Apache-2.0
"""A backend that only os-brick can reach, with stand-ins for its driver and for os-brick.

The driver has the methods without a default, and those of exports. It answers
``initialize_connection`` with a target, never with a path. Run as a program, this is the
volume service with the stand-in in place of os-brick, which resolves targets that are
exported and granted to this host.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

from worker.cmd import volume as service  # isort: skip - first: it chooses native threads

from oslo_config import cfg
from oslo_utils import units

from drivers.interface.errors import VolumeBackendAPIException, VolumeIsBusy
from drivers.interface.records import Record
from drivers.interface.volume import Update, VolumeDriver
from tests.reading import blocks
from worker.adapters import host_attach

INITIATOR = "iqn.2010-10.test:this-host"

STATES = ("exported", "granted", "attached")
"""States of a target, in their order."""


class Storage:
    """The files of a backend: the data of its targets, and a mark for each of their states.

    :param directory: the target portal, in the terms of iSCSI.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        for name in ("data", *STATES):
            (directory / name).mkdir(parents=True, exist_ok=True)

    def path(self, target: str) -> Path:
        """Return the file with the data of a target."""
        return self._directory / "data" / target

    def names(self) -> set[str]:
        """Return the names of all volumes and snapshots."""
        return set(os.listdir(self._directory / "data"))

    def marked(self, state: str) -> set[str]:
        """Return the targets in a state."""
        return set(os.listdir(self._directory / state))

    def mark(self, state: str, target: str) -> None:
        """Set a state of a target."""
        (self._directory / state / target).touch()

    def unmark(self, state: str, target: str) -> None:
        """End a state of a target, if it is in it."""
        (self._directory / state / target).unlink(missing_ok=True)


def copy(source: Path, target: Path) -> None:
    """Copy data; holes stay holes."""
    with target.open("wb") as file:
        file.truncate(source.stat().st_size)
        for at, block in blocks(source):
            os.pwrite(file.fileno(), block, at)


class IscsiDriver(VolumeDriver):
    """A driver that copies no images, reverts no snapshots and moves no volumes."""

    OPTS: ClassVar[list[cfg.Opt]] = [cfg.StrOpt("portal", help="Directory of the targets.")]

    def do_setup(self, context: Any) -> None:
        self._storage = Storage(Path(self.configuration.portal))

    def check_for_setup_error(self) -> None:
        """Nothing can be wrong."""

    def get_volume_stats(self, refresh: bool = False) -> Mapping[str, Any]:
        return {
            "volume_backend_name": self.configuration.volume_backend_name,
            "vendor_name": "Test",
            "driver_version": "1.0",
            "storage_protocol": "iSCSI",
            "total_capacity_gb": 100,
            "free_capacity_gb": 50,
        }

    def create_volume(self, volume: Record) -> Update:
        self._storage.path(volume.name).touch()
        self.extend_volume(volume, volume.size)
        return None

    def delete_volume(self, volume: Record) -> None:
        if volume.name in self._storage.marked("attached"):
            raise VolumeIsBusy(f"{volume.name} is attached to a host")
        self._storage.path(volume.name).unlink(missing_ok=True)

    def extend_volume(self, volume: Record, new_size: int) -> None:
        os.truncate(self._storage.path(volume.name), new_size * units.Gi)

    def create_snapshot(self, snapshot: Record) -> Update:
        self._copy(snapshot.volume_name, snapshot.name)
        return None

    def delete_snapshot(self, snapshot: Record) -> None:
        self._storage.path(snapshot.name).unlink(missing_ok=True)

    def create_volume_from_snapshot(self, volume: Record, snapshot: Record) -> Update:
        self._copy(snapshot.name, volume.name)
        self.extend_volume(volume, volume.size)
        return None

    def create_export(self, context: Any, volume: Record, connector: Any) -> Update:
        self._storage.mark("exported", volume.name)
        return {"provider_location": f"{self.configuration.portal},{volume.name}"}

    def remove_export(self, context: Any, volume: Record) -> None:
        self._storage.unmark("exported", volume.name)

    def initialize_connection(
        self, volume: Record, connector: Mapping[str, Any], initiator_data: Any = None
    ) -> Mapping[str, Any]:
        portal, _, target = (volume.provider_location or "").partition(",")
        if target not in self._storage.marked("exported"):
            raise VolumeBackendAPIException(f"{volume.name} is not exported")
        if connector["initiator"] != INITIATOR:
            raise VolumeBackendAPIException(f"{connector['initiator']} is another host")
        self._storage.mark("granted", target)
        data = {"target_portal": portal, "target_iqn": target, "target_lun": 1}
        return {"driver_volume_type": "iscsi", "data": data}

    def terminate_connection(self, volume: Record, connector: Mapping[str, Any] | None) -> None:
        self._storage.unmark("granted", volume.name)

    def _copy(self, source: str, target: str) -> None:
        copy(self._storage.path(source), self._storage.path(target))


class Brick:
    """Stands in for os-brick's connectors: the device of a target is its file."""

    def connect_volume(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Attach a target that this host may reach."""
        storage, target = Storage(Path(data["target_portal"])), data["target_iqn"]
        if target not in storage.marked("exported") & storage.marked("granted"):
            raise OSError(f"target {target} refuses this host")
        storage.mark("attached", target)
        return {"path": str(storage.path(target))}

    def disconnect_volume(self, data: Mapping[str, Any], *_: Any, **__: Any) -> None:
        """Detach a target."""
        Storage(Path(data["target_portal"])).unmark("attached", data["target_iqn"])


def connector_module() -> SimpleNamespace:
    """Return the stand-in for ``os_brick.initiator.connector``."""
    return SimpleNamespace(
        InitiatorConnector=SimpleNamespace(factory=lambda *_, **__: Brick()),
        get_connector_properties=lambda *_, **__: {"initiator": INITIATOR},
    )


if __name__ == "__main__":
    host_attach._brick = connector_module
    service.main(sys.argv[1:])
