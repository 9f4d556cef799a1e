# SPDX-License-Identifier: Apache-2.0
"""A cluster with a pool of volumes and one of backups, and a volume that is an image."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from drivers.backup.ceph import binding
from drivers.backup.ceph.ceph_driver import CephDriver
from drivers.interface.pace import Pace
from tests import ceph
from tests.backups import VOLUME_ID, Metadata, Rows, settings
from tests.ceph import MODULES, Handle
from tests.ceph.images import OBJECT
from tests.ceph.objects import Changes

SIZE = 12 * OBJECT


class Cloud:
    """Drivers and images of one cluster."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.conf = ceph.cluster(directory / "ceph", "backups", "volumes")
        self.rows = Rows()
        self.dice = random.Random(3)
        self.name = f"volume-{VOLUME_ID}"
        ceph.make_image(self.conf, "volumes", self.name, SIZE)
        client = MODULES.rados.Rados(conffile=str(self.conf))
        client.connect()
        self.backups = client.open_ioctx("backups")
        self.volumes = client.open_ioctx("volumes")
        self.scribble()

    def driver(self, **changes: Any) -> CephDriver:
        """Return a driver, as of another process."""
        own = {"backup_ceph_conf": str(self.conf), "backup_ceph_chunk_size": OBJECT}
        options = settings(self.directory, CephDriver, **{**own, "backup_transfers": 1, **changes})
        return CephDriver(options, metadata=Metadata())

    def image(self, name: str = "", pool: str = "volumes") -> Handle:
        """Open an image as os-brick does."""
        return Handle(self.conf, pool, name or self.name)

    def write(self, offset: int, data: bytes) -> None:
        """Write to the volume."""
        with self.image() as file:
            file.rbd_image.write(data, offset)

    def scribble(self, parts: int = 4) -> None:
        """Write to a few places of the volume."""
        for _ in range(parts):
            length = self.dice.randrange(1, OBJECT)
            self.write(self.dice.randrange(0, SIZE - length), self.dice.randbytes(length))

    def data(self) -> bytes:
        """Return the content of the volume."""
        with self.image() as file:
            return bytes(file.rbd_image.read(0, SIZE))

    def back_up(self, row: dict[str, Any], driver: CephDriver | None = None, **more: Any) -> None:
        """Back up the volume, and store the columns that the driver returns."""
        driver = driver or self.driver()
        row.update(driver.place(self.rows.record(row)) or {})
        with self.image() as file:
            row.update(driver.backup(self.rows.record(row), file, **more) or {})
        row["status"] = "available"

    def new(self, parent: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
        """Return a row of a backup that is to be made."""
        return self.rows.new(parent, **changes)

    def made(self, parent: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
        """Make a backup."""
        row = self.new(parent)
        self.back_up(row, **more)
        return row

    def restored(self, row: dict[str, Any], pace: Pace | None = None) -> bytes:
        """Return the data of a backup, restored over other data."""
        target = self.directory / "target"
        target.write_bytes(b"o" * SIZE)
        with target.open("r+b") as file:
            self.driver().restore(self.rows.record(row), "v", file, pace=pace or Pace())
        return target.read_bytes()

    def images(self) -> list[str]:
        """Return the names of the images in the pool of the backups."""
        return MODULES.rbd.RBD().list(self.backups)

    def snapshots(self, name: str = "", pool: str = "volumes") -> list[str]:
        """Return the names of the snapshots of an image."""
        with self.image(name, pool) as file:
            return [one["name"] for one in file.rbd_image.list_snaps()]

    def objects(self) -> list[str]:
        """Return the names of the objects in the pool of the backups."""
        return sorted(path.name for path in (self.backups.path / "objects").iterdir())


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    monkeypatch.setattr(binding, "load", lambda: MODULES)
    with ceph.in_memory() as directory:
        yield Cloud(directory)


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any], int], bool]:
    """A function that runs a call until some change of the cluster, which is not made.

    Nothing is changed after that, as if the process were dead. It returns whether the call got
    so far.
    """

    def run(call: Callable[[], Any], at: int) -> bool:
        left = [at]

        def count() -> None:
            left[0] -= 1
            if left[0] < 0:
                raise Killed

        with monkeypatch.context() as patch:
            patch.setattr(Changes, "before", staticmethod(count))
            try:
                call()
            except Killed:
                return True
        assert left[0] >= 0, "the kill was taken for an error"
        return False

    return run
