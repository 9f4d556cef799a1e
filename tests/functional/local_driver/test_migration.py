# SPDX-License-Identifier: Apache-2.0
"""Volumes move between two services with local drivers: their data, kills and stops."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from drivers.interface.records import Record
from tests.functional.cloud import BACKEND, HOST, REQUEST, Cloud, encoded
from tests.functional.local_driver import held_copies
from tests.functional.operations.migration.pair import host
from tests.functional.service import Service
from tests.reading import blocks
from tests.servers import until

HERE, THERE = f"{HOST}#{BACKEND}", "h2@b2#b2"
MIB = 1024**2
LONG = 32
"""MiB of data, more than a held copy has copied."""


class World:
    """Two hosts, each with a local backend, one database and one bus."""

    def __init__(self, cloud: Cloud, second: Service, folder: Path) -> None:
        self.cloud, self.first, self.second = cloud, cloud.service, second
        self.here, self.there = folder / "here", folder / "there"
        self.hold = folder / "hold"

    def start(self) -> None:
        """Start both."""
        for service in (self.first, self.second):
            service.start()

    def volume(self, mib: int = 2) -> tuple[Record, str]:
        """Create a volume with data at its begin and at its end, for a migration."""
        volume = self.cloud.volume(host=HERE)
        self.cloud.cast("create_volume", volume=volume)
        self.cloud.wait_status(volume, "available")
        with (self.here / volume.name).open("r+b") as file:
            for _ in range(mib):
                file.write(os.urandom(MIB))
            file.seek(-MIB, os.SEEK_END)
            file.write(os.urandom(MIB))
        columns = {"migration_status": "starting", "previous_status": "available"}
        self.cloud.records.volumes.update(volume.id, status="maintenance", **columns)
        return self.row(volume), checksum(self.here / volume.name)

    def migrate(self, volume: Record, force: bool = True) -> None:
        """Send the scheduler's cast."""
        to = host(THERE)
        to["capabilities"] = {"location_info": f"LocalDriver:{socket.gethostname()}:{self.there}"}
        args = {"volume": volume, "host": to, "force_host_copy": force}
        self.cloud.cast("migrate_volume", "3.5", **args)

    def row(self, volume: Record) -> Record:
        """Return a volume's row as it is now."""
        return self.cloud.records.volumes.get(volume.id)

    def ended(self, volume: Record) -> Record:
        """Wait for the end of a migration and return the row."""

        def ended() -> bool:
            row = self.row(volume)
            return row.migration_status in ("success", "error") and row.status != "maintenance"

        until(ended, 90, "the end")
        return self.row(volume)

    def assert_moved(self, volume: Record, data: str) -> None:
        """It is on the second host, all of it, and nothing is left on the first."""
        row = self.ended(volume)
        assert (row.host, row.status, row.migration_status) == (THERE, "available", "success")
        until(lambda: self.files(self.here) == [], 60, "the end of what it was")
        until(lambda: len(self.cloud.records.volumes.list()) == 1, 60, "the end of its row")
        assert self.files(self.there) == [row.name]
        assert checksum(self.there / row.name) == data

    def assert_stayed(self, volume: Record, data: str) -> None:
        """It is on the first host, as it was, and nothing is left on the second."""
        row = self.ended(volume)
        assert (row.host, row.status, row.migration_status) == (HERE, "available", "error")
        until(lambda: self.files(self.there) == [], 60, "the end of the copy")
        until(lambda: len(self.cloud.records.volumes.list()) == 1, 60, "the end of its row")
        assert checksum(self.here / row.name) == data

    def files(self, folder: Path) -> list[str]:
        """Return the volumes of a backend."""
        return sorted(path.name for path in folder.glob("volume-*"))

    def begin_held(self) -> tuple[Record, str]:
        """Begin the migration of a volume; its copies stand still until :meth:`release`."""
        self.hold.touch()
        volume, data = self.volume(LONG)
        self.migrate(volume)
        self.wait_for_copy()
        return volume, data

    def release(self) -> None:
        """Let the copies go on."""
        self.hold.unlink()

    def wait_for_copy(self, mib: int = 8) -> None:
        """Wait until some of the data is there."""

        def begun() -> bool:
            return any(p.stat().st_blocks * 512 > mib * MIB for p in self.there.glob("volume-*"))

        until(begun, 60, "the copy to begin")


def checksum(path: Path) -> str:
    """Return one of where data is in a file, and of the data."""
    digest = hashlib.sha256(str(path.stat().st_size).encode())
    for at, block in blocks(path):
        digest.update(f"{at} ".encode() + block)
    return digest.hexdigest()


@pytest.fixture
def world(
    volume_service: Callable[..., Service], rabbit_url: str, tmp_path: Path
) -> Iterator[World]:
    database = f"sqlite:///{tmp_path / 'cinder.sqlite'}"
    fast: dict[str, Any] = {"graceful_shutdown_timeout": 1}

    def held(**options: Any) -> Service:
        environment = {held_copies.HOLD: str(tmp_path / "hold")}
        return volume_service(module=held_copies.__name__, environment=environment, **options)

    first = {"volume_driver": "local", "local_path": tmp_path / "here"}
    cloud = Cloud(held, rabbit_url, database, tmp_path, first, DEFAULT=fast)
    second = volume_service(
        bus=rabbit_url,
        database=database,
        backends={"b2": {"volume_driver": "local", "local_path": tmp_path / "there"}},
        sections={"DEFAULT": {"host": "h2", **fast}},
    )
    made = World(cloud, second, tmp_path)
    made.start()
    yield made
    cloud.close()


def test_the_data_is_there_and_holes_are_holes(world: World) -> None:
    volume, data = world.volume()
    world.migrate(volume)
    world.assert_moved(volume, data)

    path = world.there / world.row(volume).name
    assert path.stat().st_blocks * 512 < 16 * MIB


def test_one_file_system_needs_no_copy(world: World) -> None:
    volume, data = world.volume()
    inode = (world.here / volume.name).stat().st_ino
    world.migrate(volume, force=False)
    world.assert_moved(volume, data)

    assert (world.there / volume.name).stat().st_ino == inode


def test_there_and_back_again(world: World) -> None:
    volume, data = world.volume()
    world.migrate(volume)
    world.assert_moved(volume, data)
    columns = {"migration_status": "starting", "previous_status": "available"}
    world.cloud.records.volumes.update(volume.id, **columns)
    row = world.row(volume)
    client = world.cloud.client("3.5").prepare(
        topic="cinder-volume.h2@b2", server="h2", version="3.5"
    )
    args = encoded({"volume": row, "host": host(HERE), "force_host_copy": True})
    client.cast(dict(REQUEST), "migrate_volume", **args)

    until(lambda: world.files(world.there) == [], 60, "the end of what it was")
    row = world.row(volume)
    assert (row.host, row.migration_status) == (HERE, "success")
    assert checksum(world.here / row.name) == data


def test_who_copies_is_killed(world: World) -> None:
    volume, data = world.begin_held()
    world.first.kill()
    assert world.row(volume).migration_status == "migrating"
    world.release()
    world.first.start()

    world.assert_moved(volume, data)


def test_who_copies_is_stopped(world: World) -> None:
    volume, data = world.begin_held()
    world.first.stop()
    assert world.row(volume).migration_status == "migrating"
    world.release()
    world.first.start()

    world.assert_moved(volume, data)


def test_both_are_killed(world: World) -> None:
    volume, data = world.begin_held()
    world.second.kill()
    world.first.kill()
    world.release()
    world.start()

    world.assert_moved(volume, data)


def test_whoever_is_to_have_it_is_away_for_a_while(world: World) -> None:
    volume, data = world.volume()
    world.second.stop()
    world.migrate(volume)
    until(lambda: len(world.cloud.records.volumes.list()) == 2, 60, "the copy's row")
    world.second.start()

    world.assert_moved(volume, data)


def test_a_stop_does_not_wait_for_the_destination(world: World) -> None:
    volume, data = world.volume()
    world.second.stop()
    world.migrate(volume)
    until(lambda: len(world.cloud.records.volumes.list()) == 2, 60, "the copy's row")
    world.first.stop(timeout=15)
    world.start()

    world.assert_moved(volume, data)


def test_it_was_cut_short_too_often(world: World) -> None:
    volume, data = world.begin_held()
    for _ in range(4):
        world.wait_for_copy()
        world.first.kill()
        for path in world.there.glob("volume-*"):
            os.truncate(path, 0)
            os.truncate(path, 1024**3)  # so that the next copy is seen
        world.first.start()

    world.assert_stayed(volume, data)


def test_whoever_attaches_it_meanwhile_keeps_it(world: World) -> None:
    volume, data = world.begin_held()
    attachment = world.cloud.attachment(volume, "attached")
    world.cloud.records.attachments.destroy(attachment.id)
    world.release()

    world.assert_stayed(volume, data)
