# SPDX-License-Identifier: Apache-2.0
"""Whatever a row, a directory or an object says wrong ends in an error that names it."""

from __future__ import annotations

import errno
import functools
import json
import os
import random
import shutil
from pathlib import Path

import pytest

from drivers.backup.format import manifest
from drivers.backup.format.layout import StoredObject
from drivers.backup.format.manifest import Manifest
from drivers.backup.posix import PosixDriver
from drivers.backup.stores import directory_store
from drivers.interface.errors import BackupDamaged, BackupDriverException
from tests.backups import BLOCK, MIB, Metadata, posix, settings


def files(root: Path, row) -> Path:
    return root / "store" / row["container"]


def change(root: Path, row, name: str, work) -> None:
    """Replace one file of a backup."""
    path = files(root, row) / f"{row['service_metadata']}{name}"
    path.write_bytes(work(path.read_bytes()))


def unsealed(root: Path, row, work) -> None:
    """Change the metadata, as Cinder would write it: without a seal."""

    def edit(data: bytes) -> bytes:
        document = json.loads(data)
        for name in ("seal", "sha256file"):
            document.pop(name)
        for entry in document["objects"]:
            for facts in entry.values():
                for name in ("crc32", "size", "zeros"):
                    facts.pop(name, None)
        work(document)
        return json.dumps(document).encode()

    change(root, row, "_metadata", edit)


class TestRows:
    @pytest.mark.parametrize("container", ["..", "a/../../b", "/etc", "a/./b", "a\0b"])
    def test_a_container_outside_is_refused(self, tmp_path, rows, volume, container):
        driver, row = posix(tmp_path), rows.new(container=container)
        with pytest.raises(BackupDriverException, match="is no directory below"):
            driver.place(rows.record(row))
        row["service_metadata"] = "prefix"
        importing = functools.partial(driver.import_record, driver_info={})
        for call in (driver.delete_backup, driver.verify, importing):
            with pytest.raises(BackupDriverException, match="is no directory below"):
                call(rows.record(row))

    def test_a_container_that_is_a_link_to_elsewhere_is_refused(self, tmp_path, rows, volume):
        driver, row = posix(tmp_path), rows.new(container="link")
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "store" / "link").symlink_to(tmp_path / "elsewhere")
        with pytest.raises(BackupDriverException, match="is a link or a file, where a directory"):
            rows.back_up(driver, row, volume)
        assert [*(tmp_path / "elsewhere").iterdir()] == []

    @pytest.mark.parametrize("prefix", ["../x", "/x", "a/../b"])
    def test_a_prefix_that_leads_elsewhere_is_refused(self, tmp_path, rows, prefix):
        driver, row = posix(tmp_path), rows.new(container="c", service_metadata=prefix)
        with pytest.raises(BackupDriverException, match="is no prefix"):
            driver.delete_backup(rows.record(row))

    def test_a_record_that_names_the_objects_of_another_backup(
        self, tmp_path, rows, volume, target
    ):
        """Neither is it imported, nor are they deleted with it, nor written over."""
        driver, other = posix(tmp_path), rows.new()
        rows.back_up(driver, other, volume)
        prefixes = (other["service_metadata"], other["service_metadata"][:30])
        for prefix in prefixes:
            row = rows.new(container=other["container"], service_metadata=prefix)
            with pytest.raises(BackupDriverException, match="do not name it"):
                driver.import_record(rows.record(row), {})
            with pytest.raises(BackupDriverException, match="do not name it"):
                rows.back_up(driver, row, volume)
            driver.delete_backup(rows.record(row))
        driver.verify(rows.record(other))
        rows.restore(driver, other, target)

        assert target.read_bytes() == volume.read_bytes()

    def test_the_deletion_of_one_leaves_what_another_is_writing(self, tmp_path, rows, volume):
        driver, row, other = posix(tmp_path), rows.new(container="c"), rows.new(container="c")
        rows.back_up(driver, row, volume)
        prefix = driver.place(rows.record(other))["service_metadata"]
        store = driver._store
        with store.writing("c", f"{prefix}-00001") as sink:
            sink.write(b"data")
            driver.delete_backup(rows.record(row))

        assert store.names("c", prefix) == {f"{prefix}-00001": 4}

    def test_a_container_that_is_named_is_used(self, tmp_path, rows, volume):
        driver, row = posix(tmp_path), rows.new(container="mine/own")
        rows.back_up(driver, row, volume)
        assert (tmp_path / "store" / "mine" / "own").is_dir()
        assert row["container"] == "mine/own"

    def test_a_backup_without_a_place_has_nothing_to_delete(self, tmp_path, rows):
        posix(tmp_path).delete_backup(rows.record(rows.new()))

    def test_a_parent_that_is_gone_is_named(self, tmp_path, rows, volume):
        driver, full = posix(tmp_path), rows.new()
        row = rows.new(full)
        del rows.all[full["id"]]
        with pytest.raises(BackupDriverException, match=f"{full['id']} does not exist any more"):
            rows.back_up(driver, row, volume)

    def test_a_parent_of_another_volume_is_named(self, tmp_path, rows, volume):
        driver, full = posix(tmp_path), rows.new()
        rows.back_up(driver, full, volume)
        row = rows.new(full, volume_id="22222222-2222-2222-2222-222222222222")
        with pytest.raises(BackupDriverException, match=f"{full['id']} is of volume 1111"):
            rows.back_up(driver, row, volume)

    def test_a_parent_whose_objects_are_gone_is_named(self, tmp_path, rows, volume):
        driver, full = posix(tmp_path), rows.new()
        rows.back_up(driver, full, volume)
        shutil.rmtree(files(tmp_path, full))
        with pytest.raises(BackupDriverException, match="_metadata is missing"):
            rows.back_up(driver, rows.new(full), volume)

    def test_a_parent_of_other_blocks_is_named(self, tmp_path, rows, volume):
        driver, full = posix(tmp_path), rows.new()
        rows.back_up(driver, full, volume)
        other = posix(tmp_path, backup_sha_block_size_bytes=2 * BLOCK)
        with pytest.raises(BackupDriverException, match=r"blocks are 4096 bytes, not 8192"):
            rows.back_up(other, rows.new(full), volume)
        row = rows.new()
        rows.back_up(other, row, volume)  # a full one works

    def test_a_volume_without_a_size_is_refused(self, tmp_path, rows):
        volume = tmp_path / "volume"
        volume.touch()
        with pytest.raises(BackupDriverException, match="has no size"):
            rows.back_up(posix(tmp_path), rows.new(), volume)

    def test_a_target_that_is_too_small_is_not_touched(self, tmp_path, rows, volume, target):
        driver, row = posix(tmp_path), rows.new()
        rows.back_up(driver, row, volume)
        os.truncate(target, MIB)
        before = target.read_bytes()
        with pytest.raises(BackupDriverException, match="is too small: it has 1048576 bytes"):
            rows.restore(driver, row, target)
        assert target.read_bytes() == before

    def test_metadata_of_an_unknown_version_is_refused_first(self, tmp_path, rows, volume, target):
        class Refusing(Metadata):
            def check(self, volume_id: str, json_metadata: str) -> None:
                raise BackupDriverException("version 9")

        driver, row = posix(tmp_path, metadata=Refusing()), rows.new()
        rows.back_up(driver, row, volume, backup_metadata=True)
        before = target.read_bytes()
        with pytest.raises(BackupDriverException, match="version 9"):
            rows.restore(driver, row, target)
        assert target.read_bytes() == before

    def test_a_volume_that_is_a_directory_is_told(self, tmp_path, rows):
        row = rows.new(id="p", container="c", service_metadata="p")
        with pytest.raises(BackupDriverException, match="is a directory"):
            posix(tmp_path).backup(rows.record(row), str(tmp_path))


class TestSettings:
    def test_sizes_that_do_not_fit_are_told(self, tmp_path):
        with pytest.raises(BackupDriverException, match="must be a multiple of the second"):
            posix(tmp_path, backup_file_size=BLOCK + 1)

    def test_a_place_that_cannot_be_written_is_told(self, tmp_path):
        (tmp_path / "store").write_bytes(b"")
        with pytest.raises(BackupDriverException, match="store: File exists"):
            posix(tmp_path)

    def test_a_place_for_notes_that_cannot_be_written_is_told(self, tmp_path):
        (tmp_path / "work").write_bytes(b"")
        with pytest.raises(BackupDriverException, match="backup_work_path = .*File exists"):
            posix(tmp_path)


class TestDisk:
    def test_a_full_disk_is_told_and_leaves_earlier_backups_alone(
        self, tmp_path, rows, volume, target, monkeypatch
    ):
        driver, full = posix(tmp_path), rows.new()
        rows.back_up(driver, full, volume)
        write, left = os.write, [300_000]

        def full_disk(fd: int, data: bytes) -> int:
            if len(data) > 1000:
                left[0] -= len(data)
                if left[0] < 0:
                    raise OSError(errno.ENOSPC, "full")
            return write(fd, data)

        monkeypatch.setattr(directory_store.os, "write", full_disk)
        row = rows.new()
        with pytest.raises(BackupDriverException, match="No space left on device: free or add"):
            rows.back_up(driver, row, volume)
        monkeypatch.undo()
        assert not [*files(tmp_path, row).glob(".new-*")]
        driver.delete_backup(rows.record(row))
        rows.restore(driver, full, target)
        assert target.read_bytes() == volume.read_bytes()

    def test_a_failed_flush_fails_the_backup(self, tmp_path, rows, volume, monkeypatch):
        def lost(fd: int) -> None:
            raise OSError(errno.EIO, "Input/output error")

        driver, row = posix(tmp_path), rows.new()
        driver.place(rows.record(row))
        monkeypatch.setattr(directory_store._File, "sync", lambda self: lost(0))
        with pytest.raises(BackupDriverException, match="lost written data"):
            rows.back_up(driver, row, volume)


class TestForeignMetadata:
    """Metadata without a seal is trusted only as far as it can be compared."""

    def refused(self, tmp_path, rows, volume, work, match):
        driver, row = posix(tmp_path, backup_compression_algorithm="none"), rows.new()
        rows.back_up(driver, row, volume)
        unsealed(tmp_path, row, work)
        target = tmp_path / "untouched"
        target.write_bytes(bytes(volume.stat().st_size))
        with pytest.raises(BackupDriverException, match=match):
            driver.verify(rows.record(row))
        with pytest.raises(BackupDriverException, match=match):
            rows.restore(driver, row, target)
        return target

    @pytest.mark.parametrize(
        ("work", "match"),
        [
            (lambda it: it.update(version="2.0.0"), r"has the format '2\.0\.0'"),
            (lambda it: it.update(backup_id="other"), "it is that of backup 'other'"),
            (lambda it: it.pop("objects"), "it lists no objects"),
            (lambda it: it.update(objects=[]), "lists 0 objects, its row"),
            (lambda it: it["objects"].append("x"), "is no name with facts"),
            (lambda it: it["objects"].append(it["objects"][0]), "holds? the same part|twice"),
            (lambda it: it["objects"].pop(1), "objects, its row"),
            (lambda it: it["objects"].append({"../x": dict(_facts(it))}), "is no object of this"),
            (lambda it: _facts(it).update(offset=-1), "its offset is -1"),
            (lambda it: _facts(it).update(offset=True), "its offset is True"),
            (lambda it: _facts(it).update(length=0), "its length is 0"),
            (lambda it: _facts(it).update(length="9"), "its length is '9'"),
            (lambda it: _facts(it).update(compression="lz4"), "no compression 'lz4'"),
            (lambda it: _facts(it).update(md5=None), "has no md5"),
            (lambda it: _facts(it).update(md5="0" * 32), "another MD5"),
            (lambda it: _facts(it, 1).update(offset=9 * BLOCK), "same part|gap"),
            (lambda it: _facts(it).update(length=BLOCK), "gap"),
            (lambda it: it.update(parent_id="9"), "builds on backup 9"),
        ],
    )
    def test_it_is_refused(self, tmp_path, rows, volume, work, match):
        self.refused(tmp_path, rows, volume, work, match)

    @pytest.mark.parametrize("data", [b"", b"[]", b"{", b"\xff", b"[" * 100_000])
    def test_what_is_no_metadata_is_refused(self, tmp_path, rows, volume, data):
        driver, row = posix(tmp_path), rows.new()
        rows.back_up(driver, row, volume)
        change(tmp_path, row, "_metadata", lambda _old: data)
        with pytest.raises(BackupDamaged, match="_metadata of backup"):
            driver.verify(rows.record(row))

    @pytest.mark.parametrize(
        "data", [b"", b"{}", b'{"sha256s": ["', b'{"sha256s": ["00"]}', b'{"sha256s": []}']
    )
    def test_hashes_that_are_none_are_refused(self, tmp_path, rows, volume, target, data):
        driver, row = posix(tmp_path), rows.new()
        rows.back_up(driver, row, volume)
        unsealed(tmp_path, row, lambda document: None)
        change(tmp_path, row, "_sha256file", lambda _old: data)
        with pytest.raises(BackupDamaged, match="_sha256file of backup"):
            driver.verify(rows.record(row))
        with pytest.raises(BackupDamaged, match="_sha256file of backup"):
            rows.restore(driver, row, target)

    def test_a_fifo_for_an_object_does_not_hang(self, tmp_path, rows, volume):
        driver, row = posix(tmp_path), rows.new()
        rows.back_up(driver, row, volume)
        path = files(tmp_path, row) / f"{row['service_metadata']}_metadata"
        path.unlink()
        os.mkfifo(path)
        with pytest.raises(BackupDriverException, match="is no regular file"):
            driver.verify(rows.record(row))

    def test_a_chain_that_meets_itself_is_refused(self, tmp_path, rows, volume):
        driver, one = posix(tmp_path), rows.new()
        rows.back_up(driver, one, volume)
        two = rows.new(one)
        rows.back_up(driver, two, volume)
        one["parent_id"] = two["id"]
        unsealed(tmp_path, one, lambda document: document.update(parent_id=two["id"]))
        with pytest.raises(BackupDamaged, match="builds on itself"):
            driver.verify(rows.record(two))

    def test_a_bomb_is_stopped(self, tmp_path, rows, volume):
        """An object that becomes more than it should is given up at once."""
        import bz2

        driver, row = posix(tmp_path), rows.new()
        rows.back_up(driver, row, volume)

        def work(document) -> None:
            entries = {name: facts for one in document["objects"] for name, facts in one.items()}
            prefix = row["service_metadata"]
            entries[f"{prefix}-00001"].update(compression="bz2")

        unsealed(tmp_path, row, work)
        change(tmp_path, row, "-00001", lambda _old: bz2.compress(bytes(64 * MIB)))
        with pytest.raises(BackupDamaged, match="more than|another SHA-256"):
            driver.verify(rows.record(row))


def _facts(document, number: int = 0):
    objects = sorted(document["objects"], key=lambda it: next(iter(it.values()))["offset"])
    return next(iter(objects[number].values()))


class TestManifest:
    def test_random_bytes_are_never_believed(self):
        dice = random.Random(4)
        one = StoredObject("p-00001", 0, 4096, "zlib", "0" * 32, 10, 11)
        data = b"".join(Manifest("b", "v", None, [one]).rendered())
        assert manifest.read([data], "p", "b").sealed
        for _ in range(2000):
            at = dice.randrange(len(data))
            other = data[:at] + bytes([data[at] ^ 1 << dice.randrange(8)]) + data[at + 1 :]
            with pytest.raises(BackupDriverException):
                manifest.read([other], "p", "b")

    def test_a_driver_without_rows_of_its_own_keeps_its_options(self, tmp_path):
        assert PosixDriver(settings(tmp_path)).support_force_delete is True
