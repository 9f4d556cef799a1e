# SPDX-License-Identifier: Apache-2.0
"""Images as Cinder makes them, and the sequences in which Cinder loses data."""

from __future__ import annotations

import pytest

from drivers.interface.errors import BackupDriverException
from drivers.interface.pace import Pace
from tests.backups import VOLUME_ID
from tests.ceph import make_image
from tests.ceph.images import OBJECT

from .conftest import SIZE, Cloud

SHARED = f"volume-{VOLUME_ID}.backup.base"


def of_snapshot(cloud: Cloud, parent=None) -> tuple[dict[str, object], bytes]:
    """Make a backup of a snapshot as Cinder does: a copy, in the image of all of them."""
    row = cloud.new(parent, snapshot_id="s1", container="backups", status="available")
    data = cloud.dice.randbytes(SIZE)
    make_image(cloud.conf, "backups", SHARED, SIZE)
    with cloud.image(SHARED, "backups") as file:
        file.rbd_image.write(data, 0)
    cloud.backups.write_full(f"backup.{row['id']}.meta", b'{"version": 2}')
    return row, data


def old_chain(cloud: Cloud, count: int) -> list[tuple[dict[str, object], bytes]]:
    """Make a chain as Cinder did: all snapshots on one image, which no row names."""
    make_image(cloud.conf, "backups", SHARED, SIZE)
    made, parent = [], None
    for number in range(count):
        row = cloud.new(parent, container="backups", status="available")
        data = cloud.dice.randbytes(SIZE)
        name = f"backup.{row['id']}.snap.170000000{number}.12"
        for image, pool in ((SHARED, "backups"), (cloud.name, "volumes")):
            with cloud.image(image, pool) as file:
                file.rbd_image.write(data, 0)
                file.rbd_image.create_snap(name)
        made.append((row, data))
        parent = row
    return made


def delete(cloud: Cloud, row: dict[str, object]) -> None:
    cloud.driver().delete_backup(cloud.rows.record(row))


class TestOldChains:
    def test_they_are_restored(self, cloud):
        for row, data in old_chain(cloud, 3):
            assert cloud.restored(row) == data

    def test_they_are_extended_on_the_same_image(self, cloud):
        *_, (parent, _) = old_chain(cloud, 2)
        cloud.scribble()

        row = cloud.made(parent)

        assert cloud.images() == [SHARED]
        assert cloud.restored(row) == cloud.data()
        assert cloud.snapshots(SHARED, "backups") == cloud.snapshots()

    def test_the_image_goes_with_the_last_of_them(self, cloud):
        chain = old_chain(cloud, 3)
        for row, _ in reversed(chain):
            assert cloud.images() == [SHARED]
            delete(cloud, row)
        assert (cloud.images(), cloud.objects()) == ([], [])

    def test_a_kill_within_the_last_deletion_changes_nothing(self, cloud, killed):
        at = 0
        while True:
            [(row, _)] = old_chain(cloud, 1)
            is_killed = killed(lambda row=row: delete(cloud, row), at)
            delete(cloud, row)
            assert cloud.images() == []
            if not is_killed:
                break
            at += 1
        assert at >= 3


class TestCopies:
    def test_one_without_a_snapshot_is_restored_and_deleted(self, cloud):
        row, data = of_snapshot(cloud)
        assert cloud.restored(row) == data

        delete(cloud, row)

        assert (cloud.images(), cloud.objects()) == ([], [])

    def test_one_that_was_to_be_incremental(self, cloud):
        full = cloud.made()
        before, base = cloud.data(), cloud.images()
        row, data = of_snapshot(cloud, full)
        assert cloud.restored(row) == data

        delete(cloud, row)

        assert cloud.images() == base
        assert cloud.restored(full) == before

    def test_an_unfinished_incremental_one_is_neither_restored_nor_its_image_removed(self, cloud):
        full = cloud.made()
        kept, data = of_snapshot(cloud)
        row = cloud.new(full, snapshot_id="s2", container="backups", status="error")
        with pytest.raises(BackupDriverException, match="is not in pool"):
            cloud.restored(row)

        delete(cloud, row)

        assert cloud.restored(kept) == data

    def test_one_of_another_volume_than_cephs(self, cloud):
        row = cloud.new(container="backups", status="available")
        base = f"volume-{VOLUME_ID}.backup.{row['id']}"
        make_image(cloud.conf, "backups", base, SIZE)
        with cloud.image(base, "backups") as file:
            file.rbd_image.write(b"data", 0)
        with pytest.raises(BackupDriverException, match="is not in pool"):
            cloud.restored(row)  # it was not finished
        cloud.backups.write_full(f"backup.{row['id']}.meta", b'{"version": 2}')

        assert cloud.restored(row) == b"data" + bytes(SIZE - 4)
        assert cloud.made(row)["parent_id"] is None


class TestSequencesInWhichCinderLosesData:
    def test_an_incremental_one_on_a_backup_of_a_snapshot_is_a_full_one(self, cloud):
        parent, data = of_snapshot(cloud)
        row = cloud.new(parent)

        cloud.back_up(row)

        assert row["parent_id"] is None
        assert cloud.restored(row) == cloud.data()
        assert cloud.restored(parent) == data
        delete(cloud, row)
        assert cloud.restored(parent) == data

    def test_a_failed_full_one_leaves_the_backup_of_a_snapshot(self, cloud):
        kept, data = of_snapshot(cloud)
        row = cloud.new()

        def fail(part):
            if part:
                raise KeyError

        with pytest.raises(KeyError):
            cloud.back_up(row, pace=Pace(progress=fail))
        delete(cloud, row)

        assert cloud.restored(kept) == data
        assert cloud.images() == [SHARED]

    def test_two_backups_of_snapshots_have_an_image_each(self, cloud):
        kept, data = of_snapshot(cloud)
        second = cloud.new(snapshot_id="s2")

        cloud.back_up(second)

        assert cloud.restored(second) == cloud.data()
        delete(cloud, second)
        assert cloud.restored(kept) == data

    def test_the_deletion_of_one_that_cinder_failed_to_make_leaves_the_first(self, cloud, caplog):
        kept, data = of_snapshot(cloud)
        failed = cloud.new(snapshot_id="s2", container="backups", status="error")

        delete(cloud, failed)

        assert cloud.restored(kept) == data
        assert f"backups/{SHARED} stays" in caplog.text

    @pytest.mark.parametrize("deleted", [False, True], ids=["failed", "deleted"])
    def test_what_another_attempt_left_on_the_image_is_in_no_later_backup(
        self, cloud, killed, deleted
    ):
        with cloud.image() as file:
            file.rbd_image.write_zeroes(0, SIZE)
        full = cloud.made()
        cloud.write(5 * OBJECT, b"secret" * 1000)
        lost = cloud.new(full)
        if deleted:
            cloud.back_up(lost)
        else:
            points = iter(range(1, 100))
            while not self.is_dirty(cloud):
                killed(lambda: cloud.back_up(lost), next(points))
        delete(cloud, lost)
        with cloud.image() as file:  # its snapshot, too, as if the next attempt had none
            for name in [one for one in cloud.snapshots() if lost["id"] in one]:
                file.rbd_image.remove_snap(name)
            file.rbd_image.write_zeroes(5 * OBJECT, OBJECT)
        assert self.is_dirty(cloud)

        row = cloud.made(full)

        assert cloud.restored(row) == cloud.data() == bytes(SIZE)

    def test_a_hole_that_another_attempt_left_gets_the_data_of_the_parent(self, cloud):
        cloud.write(5 * OBJECT, b"x" * OBJECT)
        before, of = cloud.data(), {"temp_volume_id": "t"}
        full = cloud.new(snapshot_id="s1", **of)
        cloud.back_up(full)
        with cloud.image() as file:
            file.rbd_image.write_zeroes(5 * OBJECT, OBJECT)
        lost = cloud.new(full, snapshot_id="s2", **of)
        cloud.back_up(lost, changed=[(5 * OBJECT, 6 * OBJECT)])
        delete(cloud, lost)
        cloud.write(5 * OBJECT, b"x" * OBJECT)
        row = cloud.new(full, snapshot_id="s3", **of)

        cloud.back_up(row, changed=[])  # as the snapshot of the parent

        assert row["parent_id"] == full["id"]
        assert cloud.restored(row) == cloud.data() == before

    def is_dirty(self, cloud: Cloud) -> bool:
        with cloud.image(cloud.images()[0], "backups") as file:
            return b"secret" in file.rbd_image.read(0, SIZE)


class TestDeletion:
    def test_the_image_of_a_chain_goes_with_its_full_backup(self, cloud):
        full = cloud.made()
        row = cloud.made(full)
        for one in (row, full):
            assert len(cloud.images()) == 1
            delete(cloud, one)
        assert (cloud.images(), cloud.objects()) == ([], [])

    def test_snapshots_of_others_are_named(self, cloud):
        row = cloud.made()
        with cloud.image(cloud.images()[0], "backups") as file:
            file.rbd_image.create_snap("mirror.1")
        with pytest.raises(BackupDriverException, match=r"snapshots of others: mirror\.1"):
            delete(cloud, row)

    def test_a_pool_that_is_gone_is_a_success(self, cloud, caplog):
        row = cloud.new(container="gone")
        delete(cloud, row)
        assert "pool gone" in caplog.text

    def test_backups_are_listed(self, cloud):
        full = cloud.made(backup_metadata=True)
        row = cloud.made(full)
        found = cloud.driver().list_backups(["backups", "gone"])
        assert sorted(found) == sorted([row["id"], full["id"]])

    def test_a_list_that_would_not_be_complete_is_none(self, cloud):
        of_snapshot(cloud)
        with pytest.raises(NotImplementedError, match=r"\.backup\.base does not name"):
            list(cloud.driver().list_backups([]))
