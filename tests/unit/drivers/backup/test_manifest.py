# SPDX-License-Identifier: Apache-2.0
"""The list of objects: the same bytes as ever, in little memory, and never more than is read."""

from __future__ import annotations

import hashlib
import json
import tracemalloc
from concurrent.futures import Future
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.backup.format import manifest
from drivers.backup.format.layout import StoredObject, object_name
from drivers.backup.format.manifest import Manifest
from drivers.backup.stores.directory_store import DirectoryStore
from drivers.interface.errors import BackupDamaged, BackupDriverException
from tests.backups import BLOCK, posix
from tests.length import examples

PREFIX = f"volume_{'1' * 36}_20261120211842_backup_{'2' * 36}"


def objects(count: int) -> list[StoredObject]:
    return [
        StoredObject(object_name(PREFIX, n + 1), 8 * n, 4, "zlib", f"{n:032x}", 1000 + n, 99999 * n)
        for n in range(count)
    ]


class TestBytes:
    """The stored text is that of ``json.dumps``: keys sorted, an indent of 2."""

    @settings(max_examples=examples(50), deadline=None)
    @given(
        texts=st.lists(st.none() | st.text(), min_size=4, max_size=4),
        count=st.sampled_from([0, 1, 2, 1023, 1024, 1025, 2500]),
        block_hashes=st.none() | st.tuples(st.integers(0), st.integers(0)),
    )
    def test_they_are_those_of_one_document(self, texts, count, block_hashes):
        found = objects(count)
        found[1:2] = [StoredObject('p"ä\n-00002', 8, 4, "bz2", "f" * 32, zeros=True)] * (count > 1)
        name, description, created, meta = texts
        rendered = b"".join(
            Manifest(
                *("b", "v", None, found, name, description, created, meta),
                block_hashes=block_hashes,
            ).rendered()
        )
        document = {
            "version": "1.0.0",
            "backup_id": "b",
            "volume_id": "v",
            "parent_id": None,
            "backup_name": name,
            "backup_description": description,
            "created_at": created,
            "volume_meta": meta,
            "objects": [one.to_json() for one in found],
            "seal": "0" * 64,
        }
        if block_hashes:
            document["sha256file"] = {"size": block_hashes[0], "crc32": block_hashes[1]}
        blank = json.dumps(document, sort_keys=True, indent=2).encode()
        document["seal"] = hashlib.sha256(blank).hexdigest()
        assert rendered == json.dumps(document, sort_keys=True, indent=2).encode()

    def test_what_is_written_is_read(self):
        found = Manifest("b", "v", "p", objects(3000), volume_meta='\n  "objects": []\n  "seal": "')
        back = manifest.read(found.rendered(), PREFIX, "b")
        assert back.sealed
        assert [*back.objects] == [*found.objects]
        assert back.volume_meta == found.volume_meta

    def test_two_seals_are_none(self):
        data = b"".join(Manifest("b", "v", "p", objects(1)).rendered())
        twice = data.replace(b'\n  "seal"', b'\n  "seal": "' + b"0" * 64 + b'",\n  "seal"')
        with pytest.raises(BackupDamaged, match="seal is broken"):
            manifest.read([twice], PREFIX, "b")


class TestMemory:
    COUNT = 10_000

    def peak(self, work) -> float:
        """Return bytes for each object that work takes at its peak."""
        tracemalloc.start()
        try:
            kept = work()
            return tracemalloc.get_traced_memory()[1] / self.COUNT
        finally:
            tracemalloc.stop()
            del kept

    def test_an_object_is_small(self):
        assert self.peak(lambda: objects(self.COUNT)) < 460

    def test_to_write_takes_none(self):
        found = Manifest("b", "v", None, objects(self.COUNT))
        assert self.peak(lambda: sum(map(len, found.rendered()))) < 200

    def test_to_read_takes_the_text_and_the_objects(self):
        data = b"".join(Manifest("b", "v", None, objects(self.COUNT)).rendered())
        parts = [data[at : at + 65536] for at in range(0, len(data), 65536)]
        taken = self.peak(lambda: manifest.read(parts, PREFIX, "b"))
        assert taken < 460 + 1.2 * len(data) / self.COUNT


class TestLimit:
    def test_more_than_is_ever_read_is_not_written(self, tmp_path, rows, volume, monkeypatch):
        driver, row = posix(tmp_path), rows.new()
        monkeypatch.setattr(manifest, "MAX_SIZE", 3000)
        with pytest.raises(BackupDriverException, match=r"list of its \d+ objects is larger than"):
            rows.back_up(driver, row, volume)
        assert not [*(tmp_path / "store").rglob("*_metadata")]
        assert row["status"] == "creating"

        driver.delete_backup(rows.record(row))
        assert [*(tmp_path / "store").iterdir()] == []

    def test_what_is_written_at_the_limit_is_read(self, tmp_path, rows, volume, monkeypatch):
        driver, row = posix(tmp_path), rows.new()
        rows.back_up(driver, row, volume)
        [path] = (tmp_path / "store").rglob("*_metadata")
        size = path.stat().st_size
        monkeypatch.setattr(manifest, "MAX_SIZE", size)
        driver.verify(rows.record(row))
        monkeypatch.setattr(manifest, "MAX_SIZE", size - 1)
        with pytest.raises(BackupDamaged, match=f"more than {size - 1} bytes"):
            driver.verify(rows.record(row))


class TestSync:
    def test_files_that_wait_are_not_compared_with_each_other(self, tmp_path):
        compared = []

        class Waiting:
            def __init__(self, number: int) -> None:
                self.parent, self.name = tmp_path / f"c{number % 2}", f"p-{number}"

            def __eq__(self, other: object) -> bool:
                compared.append(other)
                return self is other

            __hash__ = None

        store, done = DirectoryStore(tmp_path), Future()
        done.set_result(None)
        store._unsynced = [(Waiting(number), done) for number in range(10)]
        (tmp_path / "c0").mkdir()
        store.sync("c0", "p")
        assert [one[0].name for one in store._unsynced] == [f"p-{n}" for n in range(1, 10, 2)]
        assert compared == []


def test_a_fragmented_incremental_comes_back(tmp_path: Path, rows, target):
    """Every second block changed: each is an object."""
    volume, count = tmp_path / "blocks", 300
    volume.write_bytes(bytes(2 * count * BLOCK))
    driver, full = posix(tmp_path), rows.new()
    rows.back_up(driver, full, volume)
    with open(volume, "r+b") as file:
        for number in range(count):
            file.seek(2 * number * BLOCK)
            file.write(b"changed")
    row = rows.new(full)
    rows.back_up(driver, row, volume)
    assert row["object_count"] == count
    driver.verify(rows.record(row))
    target.write_bytes(b"x" * volume.stat().st_size)
    rows.restore(driver, row, target)
    assert target.read_bytes() == volume.read_bytes()
