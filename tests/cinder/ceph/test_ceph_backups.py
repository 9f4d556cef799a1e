# SPDX-License-Identifier: Apache-2.0
"""Backups in a real Ceph cluster: chains of which Cinder and Holdfast make parts."""

from __future__ import annotations

import importlib.util
import itertools
import os
import random
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

if importlib.util.find_spec("cinder") is None:
    pytest.skip("Cinder is installed by tox -e cinder", allow_module_level=True)

from drivers.backup.ceph import ceph_cluster  # noqa: E402
from drivers.backup.ceph.base_image import BaseImages, BaseOptions  # noqa: E402
from drivers.backup.ceph.ceph_driver import CephDriver  # noqa: E402
from tests.backups import MIB, Metadata, Rows, settings  # noqa: E402
from tests.cinder.drivers import places  # noqa: E402
from tests.cinder.process import Peer  # noqa: E402
from tests.functional import service as functional  # noqa: E402
from tests.functional.backups.backup_cloud import BackupCloud  # noqa: E402
from tests.functional.cloud import BACKEND  # noqa: E402

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="the cluster runs as root"),
    pytest.mark.timeout(1800),
]

SIZE = 48 * MIB
"""Bytes at the begin of an image that tests write and compare."""

GIB = 1024**3
SERVICE = "cinder.backup.drivers.ceph.CephBackupDriver"


@pytest.fixture(scope="module")
def conf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The ceph.conf of a cluster, whose bindings can be imported."""
    with (
        places.ceph(tmp_path_factory.mktemp("ceph")) as place,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in place.environment.items():
            patch.setenv(name, value)
        patch.syspath_prepend(place.environment["BINDING"])
        patch.setenv("PYTHONPATH", place.environment["BINDING"], prepend=os.pathsep)
        # Another test may have had it imported without the bindings.
        patch.delitem(sys.modules, "os_brick.initiator.linuxrbd", raising=False)
        yield place.options["rbd_ceph_conf"]


@pytest.fixture(scope="module")
def peer(conf: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    running = Peer(tmp_path_factory.mktemp("cinder"))
    yield running
    running.stop()


class Cluster:
    """A cluster, and both drivers."""

    def __init__(self, conf: str, peer: Peer, directory: Path) -> None:
        self.conf = conf
        self.rows = Rows()
        self.dice = random.Random(1)
        self._peer = peer
        self._options = {"backup_ceph_conf": conf, "backup_ceph_user": "admin"}
        options = settings(directory, CephDriver, **self._options)
        self.driver = CephDriver(options, metadata=Metadata())
        self.driver.check_for_setup_error()

    @contextmanager
    def pool(self, name: str) -> Iterator[Any]:
        import rados

        with rados.Rados(conffile=self.conf, rados_id="admin") as client:
            yield client.open_ioctx(name)

    @contextmanager
    def image(self, name: str, pool: str = "volumes") -> Iterator[Any]:
        import rbd

        with self.pool(pool) as context, rbd.Image(context, name) as image:
            yield image

    def make(self, name: str, size: int = GIB) -> None:
        import rbd

        with self.pool("volumes") as context:
            rbd.RBD().create(context, name, size, old_format=False, features=1 + 4 + 8 + 16)

    def scribble(self, name: str, writes: int) -> bytes:
        """Write to an image, discard a part, and return its content."""
        with self.image(name) as image:
            for _ in range(writes):
                length = self.dice.randrange(1, MIB)
                image.write(self.dice.randbytes(length), self.dice.randrange(0, SIZE - length))
            image.discard(self.dice.randrange(SIZE // 4 // MIB) * 4 * MIB, 4 * MIB)
            return bytes(image.read(0, SIZE))

    def back_up(self, by: str, row: dict[str, Any], name: str) -> None:
        if by == "ours":
            row.update(self.driver.place(self.rows.record(row)) or {})
            with self._handle(name) as file:
                row.update(self.driver.backup(self.rows.record(row), file, True) or {})
        else:
            told = self._ask("backup", row, volume=self._named(name))
            row.update({key: value for key, value in told.items() if key != "took"})
        row["status"] = "available"

    def restored(self, by: str, row: dict[str, Any], *, new: bool) -> bytes:
        """Return the data of a backup, restored to a new image, or to one with other data."""
        name = f"target-{uuid.uuid4()}"
        self.make(name)
        if not new:
            with self.image(name) as image:
                image.write(b"o" * SIZE, 0)
        if by == "ours":
            with self._handle(name) as file:
                self.driver.restore(self.rows.record(row), "v", file, new)
        else:
            self._ask("restore", {**row, "status": "restoring"}, volume=self._named(name), new=new)
        with self.image(name) as image:
            assert image.size() == GIB
            found: list[int] = []
            image.diff_iterate(SIZE, GIB - SIZE, None, lambda at, _length, _has: found.append(at))
            for at in found:  # Cinder writes zeros of a piece of 128 MiB that has data
                assert not bytes(image.read(at, MIB)).strip(b"\0")
            return bytes(image.read(0, SIZE))

    def delete(self, by: str, row: dict[str, Any]) -> None:
        if by == "ours":
            self.driver.delete_backup(self.rows.record(row))
        else:
            self._ask("delete", row)

    def copied_by_cinder(self, row: dict[str, Any], path: Path) -> None:
        told = self._ask("backup", row, volume=str(path))
        row.update({key: value for key, value in told.items() if key != "took"})
        row["status"] = "available"

    def images(self, row: dict[str, Any]) -> list[str]:
        """Return the base images of the volume of a backup."""
        import rbd

        with self.pool("backups") as context:
            found = rbd.RBD().list(context)
        return sorted(name for name in found if name.startswith(f"volume-{row['volume_id']}"))

    def _ask(self, do: str, row: dict[str, Any], **more: Any) -> dict[str, Any]:
        for known in self.rows.all.values():  # the whole chain has rows there, too
            self._peer.ask(do="row", row=known, options={})
        return self._peer.ask(do=do, driver="ceph", row=row, options=self._options, **more)

    def _named(self, name: str) -> dict[str, str]:
        return {"conf": self.conf, "pool": "volumes", "image": name}

    @contextmanager
    def _handle(self, name: str) -> Iterator[Any]:
        linuxrbd = importlib.import_module("os_brick.initiator.linuxrbd")
        client = linuxrbd.RBDClient("admin", "volumes", conffile=self.conf)
        volume = linuxrbd.RBDVolume(client, name)
        known = linuxrbd.RBDImageMetadata(volume, "volumes", "admin", self.conf)
        yield linuxrbd.RBDVolumeIOWrapper(known)
        volume.close()


@pytest.fixture
def cluster(conf: str, peer: Peer, tmp_path: Path) -> Cluster:
    return Cluster(conf, peer, tmp_path)


@pytest.mark.parametrize(
    ("full_by", "rest_by"), list(itertools.product(("ours", "cinder"), repeat=2))
)
def test_every_chain_is_restored_extended_and_deleted_by_both(
    cluster: Cluster, full_by: str, rest_by: str
) -> None:
    volume_id = f"{full_by}-{rest_by}"
    name = f"volume-{volume_id}"
    cluster.make(name)
    chain: list[tuple[dict[str, Any], bytes]] = []
    for by in (full_by, rest_by, full_by, rest_by):
        data = cluster.scribble(name, 6)
        row = cluster.rows.new(chain[-1][0] if chain else None, volume_id=volume_id)
        cluster.back_up(by, row, name)
        chain.append((row, data))
    assert [row["parent_id"] is None for row, _ in chain] == [True, False, False, False]
    assert len(cluster.images(chain[0][0])) == 1

    for row, data in chain:
        # Not by Cinder over old data: it would write a GiB of zeros.
        for by, new in (("ours", True), ("ours", False), ("cinder", True)):
            assert cluster.restored(by, row, new=new) == data, (row["id"], by, new)
    for (row, _), by in zip(reversed(chain), (rest_by, full_by, full_by, rest_by), strict=True):
        assert len(cluster.images(row)) == 1
        cluster.delete(by, row)
    assert cluster.images(chain[0][0]) == []


def test_a_deleted_attempt_is_in_no_later_backup(cluster: Cluster) -> None:
    name, volume_id = "volume-head", "head"
    cluster.make(name)
    cluster.scribble(name, 3)
    full = cluster.rows.new(volume_id=volume_id)
    cluster.back_up("ours", full, name)
    with cluster.image(name) as image:
        image.discard(40 * MIB, 4 * MIB)
        image.write(b"secret" * 1000, 40 * MIB)
    lost = cluster.rows.new(full, volume_id=volume_id)
    cluster.back_up("cinder", lost, name)
    cluster.delete("cinder", lost)
    with cluster.image(name) as image:
        for one in list(image.list_snaps()):
            if lost["id"] in one["name"]:
                image.remove_snap(one["name"])
        image.discard(40 * MIB, 4 * MIB)
        data = bytes(image.read(0, SIZE))

    row = cluster.rows.new(full, volume_id=volume_id)
    cluster.back_up("ours", row, name)

    assert cluster.restored("ours", row, new=False) == data


def test_a_writer_that_was_replaced_is_shut_out(cluster: Cluster) -> None:
    import rados
    import rbd

    known = ceph_cluster.Cluster(cluster.conf, "admin", 60)
    with known.pool("backups") as first_pool, known.pool("backups") as second_pool:
        first, second = BaseImages(first_pool), BaseImages(second_pool)
        first.create("locked", 8 * MIB, BaseOptions())
        with first.owned("locked") as frozen:
            frozen.write(b"1" * 4096, 0)
            with second.owned("locked") as image:
                image.write(b"2" * 4096, 0)
                with pytest.raises(rbd.ConnectionShutdown):
                    frozen.write(b"late" * 1024, 0)
                with pytest.raises(rbd.ConnectionShutdown):
                    frozen.create_snap("late")
                with pytest.raises(rados.ConnectionShutdown):
                    first_pool.write("object", b"late")
                assert image.read(0, 4096) == b"2" * 4096
        second.shut_out_writers("absent")
        second.remove("locked")


def test_a_copy_by_cinder_of_another_volume_is_restored(cluster: Cluster, tmp_path: Path) -> None:
    path = tmp_path / "volume"
    with path.open("wb") as file:
        file.truncate(GIB)
        for at in (0, 300 * MIB, GIB - 4096):
            file.seek(at)
            file.write(cluster.dice.randbytes(4096))
    row = cluster.rows.new(volume_id="file")
    cluster.copied_by_cinder(row, path)
    target = tmp_path / "target"
    with target.open("wb") as file:
        file.truncate(GIB)

    cluster.rows.restore(cluster.driver, row, target, True)

    assert target.read_bytes() == path.read_bytes()
    cluster.delete("ours", row)
    assert cluster.images(row) == []


@pytest.fixture
def services(
    conf: str, broker: Any, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[BackupCloud]:
    """Both services: volumes of Ceph, or files of this host; backups in Ceph."""
    url = f"sqlite:///{tmp_path / 'cinder.sqlite'}"
    backend = {"volume_driver": "local", "local_path": str(tmp_path / "volumes")}
    if request.param == "rbd":
        url = request.getfixturevalue("servers").mariadb.database()
        options = {"rbd_ceph_conf": conf, "rbd_pool": "volumes", "rbd_secret_uuid": "none"}
        kind = "cinder.volume.drivers.rbd.RBDDriver"
        backend = {"volume_driver": kind, "rbd_user": "admin", **options}
    options = {"backup_ceph_conf": conf, "backup_ceph_user": "admin", "backup_driver": SERVICE}
    with functional.services(tmp_path) as make:
        cloud = BackupCloud(make, broker.vhost(), url, tmp_path, backend, options)
        cloud.start()
        cloud.service.wait_for_log(f"backend {BACKEND} is up")
        cloud.backup_service.wait_for_log("the store of backups is up")
        yield cloud
        cloud.close()


@pytest.mark.parametrize("services", ["local"], indirect=True)
def test_files_are_backed_up_and_restored_by_the_services(services: BackupCloud) -> None:
    volume = services.filled(1)
    full = services.made(volume)
    copy = services.path(volume).with_suffix(".before")
    copy.write_bytes(b"")
    os.system(f"cp --sparse=always {services.path(volume)} {copy}")
    services.scribble(volume, 2)
    row = services.made(volume, parent_id=full.id)

    assert (row.service, row.container, row.parent_id) == (SERVICE, "backups", full.id)
    for backup, wanted in ((full, copy), (row, services.path(volume))):
        target = services.filled(3)
        services.restore(backup, target)
        services.wait_status(target, "available")
        assert services.same(wanted, target)


@pytest.mark.parametrize("services", ["rbd"], indirect=True)
def test_images_in_use_are_backed_up_without_a_copy(
    services: BackupCloud, cluster: Cluster
) -> None:
    volume = services.volume()
    services.cast("create_volume", volume=volume, request_spec=None)
    services.wait_status(volume, "available")
    before = cluster.scribble(volume.name, 4)
    services.records.volumes.update(volume.id, status="in-use")
    full = services.made(volume)
    data = cluster.scribble(volume.name, 4)
    row = services.made(services.records.volumes.get(volume.id), parent_id=full.id)

    with cluster.image(volume.name) as image:
        assert [one["name"].split(".")[1] for one in image.list_snaps()] == [full.id, row.id]
    for backup, wanted in ((full, before), (row, data)):
        target = services.volume()
        services.cast("create_volume", volume=target, request_spec=None)
        services.wait_status(target, "available")
        services.restore(backup, target, new=True)
        services.wait_status(target, "available")
        with cluster.image(target.name) as image:
            assert bytes(image.read(0, SIZE)) == wanted
