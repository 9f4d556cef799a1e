# SPDX-License-Identifier: Apache-2.0
"""A kill before each change of the cluster, and a second attempt by another process."""

from __future__ import annotations

import pytest

from drivers.interface.pace import Pace

from .conftest import SIZE, Cloud


@pytest.fixture(params=["full", "incremental", "compared"])
def parent(request, cloud: Cloud):
    if request.param == "full":
        return None
    parent = cloud.made(backup_metadata=True)
    if request.param == "compared":
        with cloud.image() as file:
            file.rbd_image.remove_snap(cloud.snapshots()[0])
    cloud.scribble(2)
    return parent


def back_up(cloud, row):
    cloud.back_up(row, backup_metadata=True, pace=Pace(key="k"))


def test_a_repeated_backup_is_whole(cloud, killed, parent):
    at, images = 0, cloud.images()
    while True:
        row = cloud.new(parent)
        is_killed = killed(lambda row=row: back_up(cloud, row), at)
        before = cloud.data()

        back_up(cloud, row)

        assert cloud.restored(row) == before
        assert len([name for name in cloud.snapshots() if row["id"] in name]) == 1
        assert not [name for name in cloud.objects() if name.endswith(".progress")]
        cloud.driver().delete_backup(cloud.rows.record(row))
        assert cloud.images() == images
        if not is_killed:
            break
        at += 1
    assert at > 8


def test_a_killed_backup_is_whole_or_absent_and_deleted_without_remains(cloud, killed, parent):
    at, images, objects = 0, cloud.images(), cloud.objects()
    while True:
        row = cloud.new(parent)
        is_killed = killed(lambda row=row: back_up(cloud, row), at)
        if row["id"] in [*cloud.driver().list_backups([])]:
            assert cloud.restored(row) == cloud.data()
        cloud.driver().delete_backup(cloud.rows.record(row))

        assert (cloud.images(), cloud.objects()) == (images, objects)
        if parent is not None:
            assert not [n for n in cloud.snapshots(images[0], "backups") if row["id"] in n]
            after = cloud.made(parent)
            assert cloud.restored(after) == cloud.data()
            cloud.driver().delete_backup(cloud.rows.record(after))
        if not is_killed:
            break
        at += 1


def test_a_repeated_deletion_leaves_nothing(cloud, killed):
    at = 0
    while True:
        row = cloud.made(backup_metadata=True)
        record = cloud.rows.record(row)
        is_killed = killed(lambda record=record: cloud.driver().delete_backup(record), at)

        cloud.driver().delete_backup(record)

        assert (cloud.images(), cloud.objects()) == ([], [])
        if not is_killed:
            break
        at += 1
    assert at >= 3


def test_a_killed_restore_continues_after_its_checkpoint(cloud, killed):
    cloud.scribble(8)
    row = cloud.made()
    path = cloud.directory / "goal"
    path.write_bytes(b"o" * SIZE)

    def restore():
        with path.open("r+b") as file:
            driver = cloud.driver()
            driver.restore(cloud.rows.record(row), "v", file, pace=Pace(key="r"))

    at = 0
    while killed(restore, at):
        at += 1

    assert path.read_bytes() == cloud.data()
    assert cloud.objects() == []


def test_a_backup_continues_after_its_checkpoint(cloud, monkeypatch):
    class Stopping(BaseException):
        pass

    cloud.write(0, cloud.dice.randbytes(SIZE))
    row, saved = cloud.new(), []

    def stop(part):
        if part > 0.4:
            raise Stopping

    with pytest.raises(Stopping):
        cloud.back_up(row, pace=Pace(progress=stop, saved=saved.append, key="k"))
    told: list[float] = []
    cloud.back_up(row, pace=Pace(progress=told.append, saved=told.append, key="k"))

    assert saved and saved[-1] > 0.4
    assert min(part for part in told if part) >= saved[-1]
    assert cloud.restored(row) == cloud.data()
