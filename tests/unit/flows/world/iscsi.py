# SPDX-License-Identifier: Apache-2.0
"""A backend that only os-brick can reach, with stand-ins for its driver and for os-brick.

The driver answers ``initialize_connection`` with a target and no path. It copies no
images, reverts no snapshots and moves no volumes. The fabric, in place of os-brick,
resolves targets that are exported to this host; a volume that is attached anywhere is
busy for its driver.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from drivers.image.directory import DirectoryImages
from drivers.image.image_transfer import ImageTransport
from drivers.image.qemu_img import ConversionLimits
from drivers.interface.errors import VolumeBackendAPIException, VolumeIsBusy
from drivers.interface.records import Record
from flows.image import facts
from flows.volume.data import data_copy, image_copy
from flows.volume.migration import copy as migration_copy
from tests.handles import Handle
from tests.unit.flows.world import remote_services
from tests.unit.flows.world.backend import RecordingDriver
from tests.unit.flows.world.doubles import Effect, Watched
from tests.unit.flows.world.remote_services import Elsewhere
from tests.unit.flows.world.world import World
from worker.adapters import host_attach

ROOM = 1024 * 1024
"""Length of a volume: the tests' GiB."""

OLD = b"old!" * (ROOM // 4)
"""Data of every volume that exists before a test."""


class Fabric:
    """Stands in for os-brick: attaches targets as devices, or as RBD-like handles.

    :ivar attached: the targets that are attached to this host.
    :ivar granted: the targets that this host may attach.
    """

    def __init__(self, world: World, directory: Path, *, by_handle: bool) -> None:
        self._world = world
        self._directory = directory
        self._by_handle = by_handle
        self.attached: set[str] = set()
        self.granted: set[str] = set()
        self.error: Exception | None = None
        self.InitiatorConnector = SimpleNamespace(factory=self._factory)
        directory.mkdir()

    def path(self, target: str) -> Path:
        """Return the file behind a target."""
        return self._directory / target

    def make(self, target: str, data: bytes = bytes(ROOM)) -> None:
        """Make the storage of a target."""
        self.path(target).write_bytes(data.ljust(ROOM, b"\0"))

    def info(self, target: str) -> dict[str, Any]:
        """Grant access to a target, and return the connection info."""
        self.granted.add(target)
        return {"driver_volume_type": "iscsi", "data": {"target_iqn": target, "target_lun": 1}}

    def _factory(self, kind: str, helper: str, use_multipath: bool = False) -> Any:
        assert kind == "iscsi"
        return self

    def connect_volume(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Attach a target."""
        with Effect(self._world, "fabric.connect_volume"):
            target = data["target_iqn"]
            if self.error is not None:
                raise self.error
            if target not in self.granted:
                raise OSError(f"target {target} refuses this host")
            self.attached.add(target)
        if self._by_handle:
            return {"path": _Device(self._world, self.path(target))}
        return {"path": str(self.path(target))}

    def disconnect_volume(self, data: Mapping[str, Any], *_: Any, **__: Any) -> None:
        """Detach a target."""
        with Effect(self._world, "fabric.disconnect_volume"):
            if isinstance(device := next(iter(_), None), dict):
                getattr(device["path"], "close", lambda: None)()
            self.attached.discard(data["target_iqn"])


class _Device(Handle):
    """A handle whose flush writes the data to the file behind it."""

    def __init__(self, world: World, path: Path) -> None:
        super().__init__(path.read_bytes())
        self._world = world
        self._path = path

    def flush(self) -> None:
        super().flush()
        self._world.require_life()
        self._path.write_bytes(self.getvalue())


class IscsiDriver(RecordingDriver):
    """A driver of our interface with the methods that have no default, and no others."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.fabric: Any = None
        self.missing |= {"revert_to_snapshot", "update_migrated_volume", "safety"}

    def create_volume_from_snapshot(self, volume: Record, snapshot: Record) -> Any:
        answer = super().create_volume_from_snapshot(volume, snapshot)
        shutil.copy(self.fabric.path(snapshot.name), self.fabric.path(volume.name))
        return answer

    def create_export(self, context: Any, volume: Record, connector: Any) -> Any:
        super().create_export(context, volume, connector)
        return {"provider_location": f"portal,{volume.name}"}

    def initialize_connection(
        self, volume: Record, connector: Mapping[str, Any], initiator_data: Any = None
    ) -> Any:
        if not volume.provider_location:
            raise VolumeBackendAPIException(f"{volume.name} is not exported")
        target = str(volume.provider_location).partition(",")[2]
        return self._play("initialize_connection", self.fabric.info(target), volume=volume)

    def terminate_connection(
        self, volume: Record, connector: Mapping[str, Any] | None, **_: Any
    ) -> Any:
        answer = super().terminate_connection(volume, connector)
        self.fabric.granted.discard(volume.name)
        return answer

    def delete_volume(self, volume: Record) -> None:
        if volume.name in self.fabric.attached:
            raise VolumeIsBusy(f"{volume.name} is attached to a host")
        super().delete_volume(volume)
        self.fabric.path(volume.name).unlink(missing_ok=True)

    def _make(self, thing: Record) -> None:
        super()._make(thing)
        self.fabric.make(thing.name)


class IscsiElsewhere(Elsewhere):
    """Another service, whose volumes are targets as well."""

    fabric: Any = None

    def target(self, volume: Mapping[str, Any]) -> str:
        return f"elsewhere-{volume['_name_id'] or volume['id']}"

    def path(self, volume: Mapping[str, Any]) -> Path:
        found: Path = self.fabric.path(self.target(volume))
        return found

    def add(self, volume: Mapping[str, Any]) -> None:
        super().add(volume)
        self.fabric.make(self.target(volume))

    def connect(self, request: Any, source: Record, connector: Any) -> Mapping[str, Any]:
        super().connect(request, source, connector)
        info: dict[str, Any] = self.fabric.info(self.target(source))
        return info

    def disconnect(self, request: Any, source: Record, connector: Any) -> None:
        super().disconnect(request, source, connector)
        self.fabric.granted.discard(self.target(source))


@contextmanager
def iscsi_world(
    directory: Path, *, by_handle: bool = False, ours: bool = True, theirs: bool = False
) -> Iterator[World]:
    """Make a world with an iSCSI backend and a real image service.

    :param by_handle: attached volumes have no path.
    :param ours: whether it is the backend of this service.
    :param theirs: whether it is the backend of the other service.
    """
    world = World(directory)
    fabric = Fabric(world, directory / "fabric", by_handle=by_handle)
    if ours:
        world.driver = IscsiDriver(directory)
        world.driver.fabric = fabric
        world.watched_driver = Watched(world.driver, "driver", world)
        world.elsewhere = Elsewhere(world.db, world.driver, directory)
    if theirs:
        world.elsewhere = IscsiElsewhere(world.db, world.driver, directory)
        world.elsewhere.fabric = fabric
    world.fabric = fabric  # type: ignore[attr-defined]
    service = DirectoryImages(SimpleNamespace(image_directory=str(directory / "images")))
    world.images = ImageTransport(service, directory / "conversion", ConversionLimits())  # type: ignore[assignment]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(host_attach, "_brick", lambda: fabric)
        for module in (facts, image_copy, data_copy, migration_copy):
            patch.setattr(module, "units", SimpleNamespace(Gi=ROOM))
        patch.setattr(remote_services, "ROOM", ROOM)
        yield world


def leftovers(world: Any) -> dict[str, Any]:
    """Return everything that should be empty after the end of an operation."""
    conversion = world.images._directory
    return {
        "attached": world.fabric.attached,
        "granted": world.fabric.granted,
        "exported": world.driver.exports | world.elsewhere.exports,
        "temporary": {name for name in world.driver.objects if name.startswith("revert-")},
        "conversion": set(os.listdir(conversion) if conversion.exists() else ()),
    }
