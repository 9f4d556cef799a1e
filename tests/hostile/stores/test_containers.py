# SPDX-License-Identifier: Apache-2.0
"""Several backups in one container, and containers that are in the way of others."""

from __future__ import annotations

import contextlib
import os
import random
import stat
import uuid

import pytest

from drivers.backup.stores.directory_store import DirectoryStore
from drivers.interface.errors import BackupDriverException
from tests.backups import posix


def everything(root):
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


def test_the_deletion_of_a_backup_keeps_the_empty_container_of_another(
    tmp_path, rows, volume, target
):
    """A backup has prepared the container; the last object in it goes; then it writes."""
    driver, old, new = posix(tmp_path), rows.new(container="c"), rows.new(container="c")
    rows.back_up(driver, old, volume)
    new.update(driver.place(rows.record(new)))
    driver._store.prepare("c")
    driver.delete_backup(rows.record(old))
    assert (tmp_path / "store" / "c").is_dir()

    rows.back_up(driver, new, volume)
    rows.restore(driver, new, target)
    assert target.read_bytes() == volume.read_bytes()


def test_a_container_that_another_program_removes_is_made_again(tmp_path):
    store = posix(tmp_path)._store
    store.prepare("c")
    (tmp_path / "store" / "c").rmdir()
    with store.writing("c", "p-00001") as sink:
        sink.write(b"data")

    assert store.names("c", "p") == {"p-00001": 4}


def test_the_root_is_made_for_its_owner_and_group(tmp_path):
    store = posix(tmp_path)._store
    (tmp_path / "store").rmdir()
    before = os.umask(0)
    try:
        store.prepare("c")
    finally:
        os.umask(before)

    assert stat.S_IMODE((tmp_path / "store").stat().st_mode) == 0o770


def test_a_deletion_keeps_the_temporary_files_of_other_backups(tmp_path, rows, volume):
    driver, row = posix(tmp_path), rows.new(container="c")
    rows.back_up(driver, row, volume)
    prefix, place = row["service_metadata"], tmp_path / "store" / "c"
    foreign = [
        ".new-volume_1",
        f".new-{prefix}",
        f".new-{prefix}-00001",
        f".new-{prefix}x-00001-{'0' * 16}",
        f".new-{prefix}-00001-{'g' * 16}",
        f"{prefix}-00001.copy",
        f"{prefix}x-00001",
    ]
    for name in foreign:
        (place / name).touch()
    own = place / f".new-{prefix}-00001-{'0' * 16}"
    own.touch()
    driver.delete_backup(rows.record(row))

    assert everything(place) == sorted(foreign)


def test_a_list_goes_on_where_another_backup_renames_its_files(tmp_path):
    store, place = DirectoryStore(tmp_path), tmp_path / "c"
    place.mkdir()
    for number in range(8):
        (place / f"p-{number}").touch()
    found = store.listed("c", "p-")
    names = {next(found)[0]}
    gone = min({f"p-{number}" for number in range(8)} - names)
    (place / gone).rename(place / "renamed")
    names |= {name for name, _size in found}

    assert names | {gone} == {f"p-{number}" for number in range(8)}


@pytest.mark.parametrize("container", ["c/", "a//b", "a/b//"])
def test_a_container_that_cinder_spells_with_more_slashes_is_used(
    tmp_path, rows, volume, container
):
    driver, row = posix(tmp_path), rows.new(container=container)
    rows.back_up(driver, row, volume)
    driver.verify(rows.record(row))
    driver.delete_backup(rows.record(row))

    assert not [name for name in everything(tmp_path / "store") if "volume_" in name]


def test_a_backup_of_cinder_in_a_hidden_container_is_read_and_deleted(tmp_path, rows, volume):
    driver, row = posix(tmp_path), rows.new(container="a")
    rows.back_up(driver, row, volume)
    (tmp_path / "store" / "a").rename(tmp_path / "store" / ".a")
    row["container"] = ".a"
    driver.verify(rows.record(row))
    driver.delete_backup(rows.record(row))

    assert not [name for name in everything(tmp_path / "store") if "volume_" in name]


@pytest.mark.parametrize("container", ["/c", "//", "/", "a/../b", "a/./b"])
def test_a_container_outside_is_refused(tmp_path, rows, container):
    driver, row = posix(tmp_path), rows.new(container=container)
    with pytest.raises(BackupDriverException, match="is no directory below"):
        driver.place(rows.record(row))


@pytest.mark.parametrize("name", [".new-{}-00001-0000000000000000", "{}-00001", "{}_metadata"])
def test_a_deletion_does_not_fail_for_a_directory_of_another(tmp_path, rows, volume, name):
    driver, row = posix(tmp_path), rows.new()
    rows.back_up(driver, row, volume)
    place = tmp_path / "store" / row["container"]
    other = place / name.format(row["service_metadata"])
    other.unlink(missing_ok=True)
    (other / "inside").mkdir(parents=True)
    driver.delete_backup(rows.record(row))

    assert everything(place) == [other.name, f"{other.name}/inside"]


def test_a_directory_of_another_does_not_damage_a_backup(tmp_path, rows, volume):
    driver, row = posix(tmp_path), rows.new()
    rows.back_up(driver, row, volume)
    (tmp_path / "store" / row["container"] / f"{row['service_metadata']}-99999").mkdir()

    driver.verify(rows.record(row))


@pytest.mark.parametrize(
    "container", [".new-x", ".holdfast", "a/.b", "a/.new-volume_1_2_backup_3-00001-0123"]
)
def test_a_hidden_container_is_refused(tmp_path, rows, container):
    driver, row = posix(tmp_path), rows.new(container=container)
    with pytest.raises(BackupDriverException, match="hidden|no directory"):
        driver.place(rows.record(row))

    assert everything(tmp_path / "store") == []


@pytest.mark.parametrize("name", ["{}_metadata", "{}-00001", "c/{}-00001", "{}-00001/x"])
def test_a_container_with_the_name_of_an_object_is_refused(tmp_path, rows, volume, name):
    driver, row = posix(tmp_path), rows.new(container="c")
    prefix = driver.place(rows.record(row))["service_metadata"]
    attack = rows.new(container=name.format(prefix))
    with pytest.raises(BackupDriverException, match="is named like an object"):
        driver.place(rows.record(attack))


@pytest.mark.parametrize("key", ["1", "", "a", "volume", str(uuid.UUID(int=1))[-12:]])
def test_a_deletion_reaches_only_objects_of_its_own_id(tmp_path, rows, volume, key):
    """Whatever a row claims: a prefix of other prefixes, or the end of another's id."""
    driver = posix(tmp_path)
    others = [rows.new(id=str(uuid.UUID(int=number)), container="c") for number in (1, 2)]
    for other in others:
        rows.back_up(driver, other, volume)
    before = everything(tmp_path / "store")
    whole = others[0]["service_metadata"]
    for length in range(1, len(whole) + 1):
        attack = rows.new(id=key, container="c", service_metadata=whole[:length])
        with contextlib.suppress(BackupDriverException):
            driver.delete_backup(rows.record(attack))

    assert everything(tmp_path / "store") == before


def test_remains_of_a_try_are_removed_only_by_their_whole_names(tmp_path, rows, volume):
    driver, row = posix(tmp_path), rows.new(container="c")
    row.update(driver.place(rows.record(row)))
    place = tmp_path / "store" / "c"
    place.mkdir()
    foreign, own = f"{row['service_metadata']}9-00001", f"{row['service_metadata']}-00077"
    for name in (foreign, own):
        (place / name).touch()
    with pytest.raises(BackupDriverException, match=f"{foreign} is no object of"):
        rows.back_up(driver, row, volume)  # the list has a name that nobody should have given

    assert (place / foreign).exists()
    assert not (place / own).exists()


class TestLinks:
    @pytest.fixture
    def outside(self, tmp_path):
        path = tmp_path / "outside"
        path.mkdir()
        return path

    @pytest.mark.parametrize("container", ["link", "link/x/y", "a/link", "a/link/x"])
    def test_no_call_follows_a_link_out_of_the_store(self, tmp_path, rows, outside, container):
        driver = posix(tmp_path)
        (tmp_path / "store" / "a").mkdir()
        for link in ("link", "a/link"):
            (tmp_path / "store" / link).symlink_to(outside)
        (outside / "p-00001").write_bytes(b"foreign")
        store = driver._store
        calls = [
            lambda: store.prepare(container),
            lambda: store.names(container, ""),
            lambda: b"".join(store.reading(container, "p-00001")),
            lambda: store.delete(container, "p-00001"),
            lambda: store.sync(container, "p"),
            lambda: store.writing(container, "p-00002").__enter__(),
        ]
        for call in calls:
            with pytest.raises(BackupDriverException, match="is a link or a file"):
                call()

        assert everything(outside) == ["p-00001"]
        assert (outside / "p-00001").read_bytes() == b"foreign"

    def test_an_object_that_is_a_link_is_not_read(self, tmp_path, rows, volume, outside):
        driver, row = posix(tmp_path), rows.new()
        rows.back_up(driver, row, volume)
        place = tmp_path / "store" / row["container"]
        one = next(place.glob("*-00001"))
        secret = outside / "secret"
        one.rename(secret)
        one.symlink_to(secret)
        with pytest.raises(BackupDriverException):
            driver.verify(rows.record(row))
        driver.delete_backup(rows.record(row))

        assert secret.exists()
        assert not place.exists()


class TestModes:
    @pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
    def test_directories_and_files_are_for_owner_and_group(self, tmp_path, rows, mask):
        store = posix(tmp_path)._store
        before = os.umask(mask)
        try:
            store.prepare("a/b/c")
            with store.writing("a/b/c", "p-00001") as sink:
                sink.write(b"data")
        finally:
            os.umask(before)

        modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "store").rglob("*")}
        assert modes == {0o770, 0o660}

    def test_a_directory_of_ours_for_everybody_is_restricted(self, tmp_path):
        store = posix(tmp_path)._store
        for path in (tmp_path / "store" / "a", tmp_path / "store" / "a" / "b"):
            path.mkdir()
            path.chmod(0o777)
        store.prepare("a/b")

        for path in (tmp_path / "store" / "a", tmp_path / "store" / "a" / "b"):
            assert stat.S_IMODE(path.stat().st_mode) == 0o770


def test_random_rows_reach_nothing_of_others(tmp_path, rows, volume):
    """Rows as a database or a record may have them: none is followed to foreign objects."""
    driver, dice = posix(tmp_path), random.Random(15)
    others = [rows.new(container="c"), rows.new()]
    for other in others:
        rows.back_up(driver, other, volume)
    before = everything(tmp_path)
    words = [
        *("", ".", "..", "/", "c", "volume_", "_metadata", "-00001", "*", "\0", "\n", "x" * 300),
        *(other[name] for other in others for name in ("id", "container", "service_metadata")),
    ]
    for _ in range(400):
        claims = ["".join(dice.choices(words, k=dice.randrange(1, 4))) for _ in range(3)]
        row = rows.new(container=claims[0], service_metadata=claims[1])
        if dice.random() < 0.5:
            row["id"] = claims[2]
        if row["id"] in (other["id"] for other in others):
            continue
        with contextlib.suppress(BackupDriverException):
            driver.delete_backup(rows.record(row))

    assert everything(tmp_path) == before
