# SPDX-License-Identifier: Apache-2.0
"""Backups of images of Ceph: names on the cluster, data that is read, restores."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from drivers.interface.errors import BackupDamaged, BackupDriverException
from drivers.interface.pace import Pace
from drivers.rbd_image import RbdImage
from tests.backups import VOLUME_ID, Metadata
from tests.ceph import MODULES, Handle, make_image
from tests.ceph.images import OBJECT, Image

from .conftest import SIZE, Cloud


@pytest.fixture
def read(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, int]]]:
    """Reads of images: name and length."""
    found: list[tuple[str, int]] = []
    original = Image.read

    def noted(self: Image, offset: int, length: int) -> bytes:
        found.append((self.get_name(), length))
        return original(self, offset, length)

    with monkeypatch.context() as patch:
        patch.setattr(Image, "read", noted)
        yield found


def of(read, name):
    return sum(length for one, length in read if one == name)


class TestNames:
    def test_a_full_backup_is_found_where_cinder_looks(self, cloud):
        row = cloud.made(backup_metadata=True)

        base = f"volume-{VOLUME_ID}.backup.{row['id']}"
        assert json.loads(row["service_metadata"]) == {"base": base}
        assert (row["container"], row["object_count"]) == ("backups", 0)
        assert cloud.images() == [base]
        [name] = cloud.snapshots(base, "backups")
        assert re.fullmatch(rf"backup\.{row['id']}\.snap\.\d+\.\d+", name)
        assert cloud.snapshots() == [name]
        assert cloud.objects() == [f"backup.{row['id']}.meta"]

    def test_an_incremental_one_is_a_snapshot_of_the_same_image(self, cloud):
        full = cloud.made()
        row = cloud.made(full)

        assert row["service_metadata"] == full["service_metadata"]
        assert row["parent_id"] == full["id"]
        [base] = cloud.images()
        assert cloud.snapshots(base, "backups") == cloud.snapshots()
        assert len(cloud.snapshots()) == 2

    def test_another_pool_is_that_of_the_whole_backup(self, cloud):
        (cloud.conf.parent / "other/objects").mkdir(parents=True)
        (cloud.conf.parent / "other/images").mkdir()
        row = cloud.new(container="other")
        cloud.back_up(row, backup_metadata=True)

        assert (cloud.images(), cloud.objects()) == ([], [])
        assert cloud.restored(row) == cloud.data()
        assert cloud.made(row)["container"] == "other"

    @pytest.mark.parametrize("text", ["{}", "x", '{"base": "volume-other.backup.base"}', "[1]"])
    def test_a_row_that_names_another_image_is_refused(self, cloud, text):
        row = cloud.new(service_metadata=text)
        for call in (cloud.driver().place, cloud.driver().delete_backup):
            with pytest.raises(BackupDriverException, match="base image of volume"):
                call(cloud.rows.record(row))


class TestData:
    def test_each_backup_of_a_chain_has_the_data_of_its_moment(self, cloud):
        made, row = [], None
        for _ in range(4):
            row = cloud.made(row)
            made.append((row, cloud.data()))
            cloud.scribble()
        for row, wanted in made:
            assert cloud.restored(row) == wanted

    def test_only_what_was_written_is_read(self, cloud, read):
        with cloud.image() as file:
            file.rbd_image.write_zeroes(0, SIZE)
        cloud.write(3 * OBJECT, b"x" * OBJECT)
        read.clear()
        full = cloud.made()
        assert of(read, cloud.name) == OBJECT
        cloud.write(5 * OBJECT, b"y" * 4096)
        before = of(read, cloud.name)

        cloud.made(full)

        assert of(read, cloud.name) - before == 4096

    def test_what_was_discarded_reads_as_zeros(self, cloud):
        cloud.write(2 * OBJECT, b"x" * 2 * OBJECT)
        full = cloud.made()
        with cloud.image() as file:
            file.rbd_image.write_zeroes(2 * OBJECT, OBJECT + 4096)

        row = cloud.made(full)

        assert cloud.restored(row) == cloud.data()

    def test_an_image_gets_the_data_and_zeros(self, cloud):
        row = cloud.made()
        make_image(cloud.conf, "volumes", "target", SIZE + OBJECT)
        with Handle(cloud.conf, "volumes", "target") as file:
            file.rbd_image.write(b"o" * (SIZE + OBJECT), 0)
            cloud.driver().restore(cloud.rows.record(row), "v", file)
            assert file.rbd_image.read(0, SIZE + OBJECT) == cloud.data() + bytes(OBJECT)
        assert cloud.snapshots("target") == []

    def test_the_rest_of_a_volume_may_stay(self, cloud):
        row = cloud.made()
        driver = cloud.driver(restore_discard_excess_bytes=False)
        path = cloud.directory / "target"
        path.write_bytes(b"o" * (SIZE + 8192))
        with path.open("r+b") as file:
            driver.restore(cloud.rows.record(row), "v", file)
        assert path.read_bytes() == cloud.data() + b"o" * 8192

    def test_a_new_image_gets_no_zeros(self, cloud):
        cloud.write(0, bytes(SIZE))
        cloud.write(OBJECT, b"data")
        row = cloud.made()
        make_image(cloud.conf, "volumes", "target", SIZE)
        with Handle(cloud.conf, "volumes", "target") as file:
            cloud.driver().restore(cloud.rows.record(row), "v", file, True)
            found = []
            file.rbd_image.diff_iterate(0, SIZE, None, lambda *one: found.append(one[:2]))
        assert found == [(OBJECT + at, 4096) for at in range(0, OBJECT, 4096)]

    def test_a_backup_of_a_snapshot_reads_its_temporary_volume(self, cloud):
        row = cloud.new(snapshot_id="s", temp_volume_id="t")
        cloud.back_up(row)

        assert cloud.snapshots() == []
        assert cloud.images() == [f"volume-{VOLUME_ID}.backup.{row['id']}"]
        assert cloud.restored(row) == cloud.data()

    def test_changes_that_the_caller_knows_are_enough(self, cloud, read):
        full = cloud.new(snapshot_id="s", temp_volume_id="t")
        cloud.back_up(full)
        cloud.write(OBJECT, b"x" * 4096)
        row, before = cloud.new(full), of(read, cloud.name)
        row["temp_volume_id"] = "t"

        cloud.back_up(row, changed=[(OBJECT, OBJECT + 4096)])

        assert of(read, cloud.name) - before == 4096
        assert row["parent_id"] == full["id"]
        assert cloud.restored(row) == cloud.data()

    def test_writes_between_a_question_and_the_snapshot_are_in_the_backup(self, cloud):
        full = cloud.new(snapshot_id="s", temp_volume_id="t")
        cloud.back_up(full)
        cloud.write(3 * OBJECT, b"new" * 1000)  # after the caller has asked for the changes
        row = cloud.new(full)

        cloud.back_up(row, changed=[])

        assert row["parent_id"] == full["id"]
        assert cloud.restored(row) == cloud.data()

    def test_a_volume_that_was_reverted_to_a_snapshot(self, cloud):
        first = cloud.made()
        before = cloud.data()
        cloud.write(0, cloud.dice.randbytes(SIZE))
        second = cloud.made(first)
        with cloud.image() as file:
            [name] = [one for one in cloud.snapshots() if first["id"] in one]
            file.rbd_image.rollback_to_snap(name)

        row = cloud.made(second)

        assert row["parent_id"] == second["id"]
        assert cloud.restored(row) == cloud.data() == before


class TestSourceSnapshots:
    def test_so_many_stay_as_the_operator_wants(self, cloud):
        first = cloud.made()
        second = cloud.made(first)

        third = cloud.new(second)
        cloud.back_up(third, cloud.driver(backup_ceph_max_snapshots=1))

        [left] = cloud.snapshots()
        assert third["id"] in left

    def test_an_incremental_backup_needs_none_of_the_parent(self, cloud):
        full = cloud.made()
        with cloud.image() as file:
            file.rbd_image.remove_snap(cloud.snapshots()[0])
        cloud.scribble()

        row = cloud.made(full)

        assert row["parent_id"] == full["id"]
        assert cloud.restored(row) == cloud.data()

    def test_a_failed_backup_leaves_none(self, cloud):
        def fail(_part):
            raise KeyError

        row = cloud.new()
        with pytest.raises(KeyError):
            cloud.back_up(row, pace=Pace(progress=fail))

        assert (cloud.snapshots(), cloud.images(), cloud.objects()) == ([], [], [])

    def test_two_of_one_backup_are_refused(self, cloud):
        row = cloud.made()
        base = f"volume-{VOLUME_ID}.backup.{row['id']}"
        with cloud.image(base, "backups") as file:
            file.rbd_image.create_snap(f"backup.{row['id']}.snap.1.5")
        with pytest.raises(BackupDriverException, match=r"2 snapshots of backup .* remove"):
            cloud.restored(row)


def test_questions_for_whole_objects_begin_with_an_object(cloud, monkeypatch):
    asked: list[int] = []
    original = Image.diff_iterate

    def noted(self, offset, length, since, call, parent=True, whole=False):
        asked.extend([offset] if whole else [])
        return original(self, offset, length, since, call, parent, whole)

    monkeypatch.setattr(Image, "diff_iterate", noted)
    cloud.write(0, cloud.dice.randbytes(SIZE))
    with cloud.image() as file:
        found = list(RbdImage(file.rbd_image).changes(None, OBJECT + 4096, SIZE))

    assert asked == [0]
    assert (found[0].start, found[-1].end) == (OBJECT + 4096, SIZE)


class TestMetadata:
    def test_a_long_one_comes_back_whole(self, cloud):
        driver = cloud.driver()
        driver.metadata = Metadata('{"version": 2, "x": "%s"}' % ("é" * 2**20))
        row = cloud.new()
        cloud.back_up(row, driver, backup_metadata=True)
        (cloud.directory / "t").write_bytes(bytes(SIZE))
        with (cloud.directory / "t").open("r+b") as file:
            driver.restore(cloud.rows.record(row), "v", file)
        assert driver.metadata.put_back == [("v", driver.metadata.text)]


def test_a_lost_snapshot_is_damage_although_the_image_has_data(cloud):
    row = cloud.made(backup_metadata=True)
    base = f"volume-{VOLUME_ID}.backup.{row['id']}"
    with cloud.image(base, "backups") as file:
        file.rbd_image.remove_snap(cloud.snapshots(base, "backups")[0])
    with pytest.raises(BackupDamaged):
        cloud.restored(row)


def test_a_parent_of_another_driver_makes_a_full_backup(cloud):
    """The operator has changed ``backup_driver``."""
    parent = cloud.new(
        container="volumebackups",
        service="cinder.backup.drivers.swift.SwiftBackupDriver",
        service_metadata="volume_v/20260301000000/az_nova_backup_x",
        status="available",
    )
    row = cloud.made(parent)

    assert (row["parent_id"], row["container"]) == (None, "backups")
    assert cloud.restored(row) == cloud.data()


@pytest.mark.parametrize(
    "service",
    [
        "cinder.backup.drivers.ceph",
        "cinder.backup.drivers.ceph.CephBackupDriver",
        "drivers.backup.ceph.ceph_driver.CephDriver",
    ],
)
def test_a_parent_by_any_name_of_the_driver_is_built_on(cloud, service):
    parent = cloud.made()
    parent["service"] = service

    assert cloud.made(parent)["service_metadata"] == parent["service_metadata"]


def test_all_connections_are_closed(cloud):
    before = MODULES.rados.Rados.opened
    row = cloud.new()
    cloud.back_up(row)
    assert MODULES.rados.Rados.opened == before + 1  # that of the handle itself
