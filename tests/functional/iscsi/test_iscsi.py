# SPDX-License-Identifier: Apache-2.0
"""Data of volumes that only os-brick can reach, through the service and two of its backends."""

from __future__ import annotations

import itertools
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from drivers.interface.records import Record
from tests.conformance.places import require_programs
from tests.functional.cloud import BACKEND, HOST, Cloud
from tests.functional.iscsi.backend import STATES, Storage, copy
from tests.functional.operations.migration.pair import host
from tests.functional.service import services
from tests.reading import blocks
from tests.servers import Broker, until

MIB, GIB = 1024**2, 1024**3
SECOND = "b2"
HERE, THERE = f"{HOST}#{BACKEND}", f"h1@{SECOND}#{SECOND}"


class World:
    """A service with two backends, and the storage of both."""

    def __init__(self, cloud: Cloud, directory: Path) -> None:
        self.cloud = cloud
        self.here, self.there = (Storage(directory / name) for name in (BACKEND, SECOND))

    def volume(self) -> Record:
        """Create a volume with data."""
        volume = self.cloud.volume(host=HERE)
        self.cloud.cast("create_volume", volume=volume)
        row = self.cloud.wait_status(volume, "available")
        assert row is not None
        self.write(row)
        return row

    def write(self, volume: Record) -> None:
        """Write data at the begin of a volume, in between and at its end."""
        with self.here.path(volume.name).open("r+b") as file:
            for at in (0, random.randrange(MIB, GIB - 2 * MIB), GIB - MIB):
                os.pwrite(file.fileno(), os.urandom(MIB), at)

    def snapshot(self, volume: Record) -> Record:
        """Create a snapshot of a volume."""
        snapshot = self.cloud.snapshot(volume)
        self.cloud.cast("create_snapshot", snapshot=snapshot)
        row = self.cloud.wait_status(snapshot, "available")
        assert row is not None
        return row

    def busy(self, resource: Record, status: str, **columns: str) -> Record:
        """Set the status with which the API sends an operation."""
        rows = getattr(self.cloud.records, f"{resource.kind}s")
        rows.transition(resource.id, status, when=("available",), **columns)
        return rows.get(resource.id)  # type: ignore[no-any-return]

    def ended(self, volume: Record) -> bool:
        """Return whether the migration of a volume has ended."""
        return self.cloud.records.volumes.get(volume.id).migration_status in ("success", "error")

    def done(self, resource: Record, status: str = "available") -> Record:
        """Wait for the end of an operation, and check that it released all it used."""
        row = self.cloud.wait_status(resource, status)
        self.cloud.wait_idle()
        for storage in (self.here, self.there):
            left = {state: storage.marked(state) for state in STATES}
            assert not any(left.values()), left
            assert not [name for name in storage.names() if name.startswith("revert-")]
        assert not list((self.cloud.service.directory / "state").glob("conversion/*"))
        assert row is not None
        return row

    def image(self, wanted: Path) -> dict[str, Any]:
        """Store an image that is shorter than a volume.

        :param wanted: file for the data that a volume of the image has.
        """
        data = os.urandom(MIB) + bytes(MIB) + os.urandom(MIB + 512)
        wanted.write_bytes(data)
        os.truncate(wanted, GIB)
        return self.cloud.image(data, disk_format="raw", container_format="bare")


@pytest.fixture(scope="module")
def shared_world(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    require_programs("qemu-img")
    directory = tmp_path_factory.mktemp("iscsi")
    backends = {
        name: {
            "volume_driver": "tests.functional.iscsi.backend.IscsiDriver",
            "volume_backend_name": name,
            "portal": str(directory / name),
        }
        for name in (BACKEND, SECOND)
    }
    # The connector properties of a host come from os-brick only where the root helper exists.
    default = {"enabled_backends": f"{BACKEND},{SECOND}", "backup_root_helper": "env"}
    sections = {"DEFAULT": default, SECOND: backends[SECOND]}
    database = f"sqlite:///{directory / 'cinder.sqlite'}"
    with services(directory, forked=True) as make:
        cloud = Cloud(make, broker.vhost(), database, directory, backends[BACKEND], **sections)
        cloud.service.module = "tests.functional.iscsi.backend"
        cloud.service.start()
        until(lambda: len(cloud.records.services.list()) == 2, 60, "both backends")
        yield World(cloud, directory)
        cloud.close()


@pytest.fixture
def world(shared_world: World) -> Iterator[World]:
    """The service; the end of its log is shown with a failure."""
    position = shared_world.cloud.service.position()
    yield shared_world
    sys.stdout.write(shared_world.cloud.service.text(position))


@pytest.fixture
def wanted(tmp_path: Path) -> Path:
    """A file for the data that a volume is to have."""
    return tmp_path / "wanted"


def test_an_empty_volume(world: World) -> None:
    volume = world.cloud.volume(host=HERE)
    world.cloud.cast("create_volume", volume=volume)
    world.done(volume)

    path = world.here.path(volume.name)
    assert (path.stat().st_size, list(blocks(path))) == (GIB, [])


def test_a_volume_from_an_image(world: World, wanted: Path) -> None:
    image = world.image(wanted)
    volume = world.cloud.volume(host=HERE)
    world.cloud.cast("create_volume", volume=volume, request_spec={"image_id": image["id"]})

    assert world.done(volume).bootable
    assert_same(world.here.path(volume.name), wanted)


def test_an_upload(world: World, tmp_path: Path) -> None:
    volume = world.volume()
    # Not raw, of which a GiB would be hashed.
    image = world.cloud.image(None, disk_format="qcow2", container_format="bare")
    world.busy(volume, "uploading")
    world.cloud.cast("copy_volume_to_image", volume_id=volume.id, image_meta=image)
    world.done(volume)

    stored, disk = tmp_path / "image.qcow2", tmp_path / "disk"
    with stored.open("wb") as file:
        world.cloud.images.download(None, image["id"], file)
    command = ["qemu-img", "convert", "-f", "qcow2", "-O", "raw", stored, disk]
    subprocess.run(command, check=True)
    assert_same(disk, world.here.path(volume.name))


def test_a_reimage(world: World, wanted: Path) -> None:
    image = world.image(wanted)
    volume = world.busy(world.volume(), "downloading", previous_status="available")
    world.cloud.cast("reimage", "3.20", volume=volume, image_meta=image)
    row = world.done(volume)

    assert row.glance_metadata["image_id"] == image["id"]
    assert_same(world.here.path(volume.name), wanted)


def test_a_revert(world: World, wanted: Path) -> None:
    volume = world.volume()
    copy(world.here.path(volume.name), wanted)
    snapshot = world.snapshot(volume)
    world.write(volume)
    before = world.here.names()
    args = {"volume": world.busy(volume, "reverting")}
    args["snapshot"] = world.busy(snapshot, "restoring")
    world.cloud.cast("revert_to_snapshot", "3.15", **args)
    world.done(snapshot)
    world.done(volume)

    assert_same(world.here.path(volume.name), wanted)
    assert world.here.names() == before


def test_a_migration(world: World, wanted: Path) -> None:
    volume, before = world.volume(), world.there.names()
    copy(world.here.path(volume.name), wanted)
    columns = {"previous_status": "available", "migration_status": "starting"}
    args = {"volume": world.busy(volume, "maintenance", **columns), "host": host(THERE)}
    world.cloud.cast("migrate_volume", "3.5", **args, force_host_copy=True)
    until(lambda: world.ended(volume), 60, "the migration")
    row = world.done(volume)

    assert (row.host, row.migration_status) == (THERE, "success")
    assert_same(world.there.path(row.name), wanted)
    until(lambda: volume.name not in world.here.names(), 60, "the end of the source")
    assert world.there.names() == before | {row.name}


def assert_same(found: Path, wanted: Path) -> None:
    """Compare the sizes of two files and each of their bytes."""
    assert found.stat().st_size == wanted.stat().st_size
    for one, other in itertools.zip_longest(blocks(found), blocks(wanted)):
        assert one == other
