# SPDX-License-Identifier: Apache-2.0
"""Long lists: metadata with as many objects as a row claims, and lists of the store itself."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.backup.format import manifest, object_list
from drivers.backup.format.bounds import Bounds
from drivers.backup.format.layout import StoredObject
from drivers.backup.format.manifest import Manifest
from drivers.backup.format.object_list import ObjectList
from drivers.backup.stores.object_store import StoreError
from drivers.backup.swift import SwiftStore
from drivers.backup.transfer import stored_names
from drivers.interface.errors import BackupDamaged, BackupDriverException
from tests.backups import MIB, posix
from tests.hostile import memory
from tests.length import examples

MANY = 40_000
MOST = 8 * MIB
"""Bytes for as many objects, which take 18 MiB as Python objects."""

CLAIMED = Bounds(10**9, 1 << 62)
"""Limits from a row with a huge ``object_count``."""


def peak(work: Callable[[], Any]) -> int:
    """Return how many bytes of memory some work takes, with its result."""
    with memory.traced() as most:
        _result = work()
        return most()


def objects(count: int) -> Iterator[StoredObject]:
    for number in range(count):
        yield StoredObject(f"p-{number + 1:05d}", number, 1, "zlib", "0" * 32, 10, 11)


def listing(count: int) -> Iterator[tuple[str, int]]:
    yield "p_metadata", 1
    for number in range(count):
        yield f"p-{number + 1:05d}", 10


class Lists:
    """A store that lists names without objects."""

    def __init__(self, listed: Callable[[], Iterator[tuple[str, int]]]) -> None:
        self._listed = listed
        self.deleted = 0

    def listed(self, container: str, prefix: str) -> Iterator[tuple[str, int]]:
        return self._listed()

    def delete(self, container: str, name: str) -> None:
        self.deleted += 1

    def sync(self, container: str, prefix: str) -> None:
        """Do nothing."""

    def forget(self, backup: Any) -> None:
        """Do nothing."""


def test_metadata_with_as_many_objects_as_a_row_claims_takes_little_memory(tmp_path) -> None:
    text = Manifest("b", "v", None, ObjectList.of("p", objects(MANY), tmp_path)).rendered()
    parts = [*text]
    used = peak(lambda: manifest.read(parts, "p", "b", CLAIMED, tmp_path))

    assert used < MOST


def test_a_list_of_all_of_them_is_compared_in_little_memory(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(object_list, "_BUCKET", 10_000)
    known, store = ObjectList.of("p", objects(MANY), tmp_path), Lists(lambda: listing(MANY))
    check = stored_names.require_listed

    assert peak(lambda: check(store, "c", "p", known, None, "backup b")) < MOST


@pytest.mark.parametrize("name", ["p-{:05d}", "p{}", "p-00001"])
def test_a_list_of_a_store_without_an_end_is_refused(tmp_path, name: str) -> None:
    def endless() -> Iterator[tuple[str, int]]:
        for number in range(10**9):
            yield name.format(number), 10

    known, store = ObjectList.of("p", objects(10), tmp_path), Lists(endless)

    def work() -> None:
        with pytest.raises(BackupDamaged, match="lists more than the 10 objects of backup b"):
            stored_names.require_listed(store, "c", "p", known, None, "backup b")

    assert peak(work) < MOST


def test_a_deletion_ends_although_the_list_does_not(tmp_path, rows, monkeypatch) -> None:
    monkeypatch.setattr(stored_names, "MAX_LISTED", MANY)
    driver, row = posix(tmp_path), rows.new(status="available", object_count=10**9)
    row.update(driver.place(rows.record(row)))
    prefix = row["service_metadata"]
    store = Lists(lambda: ((f"{prefix}-{number:05d}", 1) for number in range(10**9)))
    store.container = driver._store.container
    driver._store = store

    def work() -> None:
        with pytest.raises(StoreError, match="more than a backup has"):
            driver.delete_backup(rows.record(row))

    assert peak(work) < MOST
    assert store.deleted == MANY + 1


class Pages:
    """A Swift that answers with the same page whatever is asked."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    def get_container(self, container: str, **asked: Any) -> Any:
        self.asked.append(asked)
        return {}, [{"name": f"p-{number:05d}", "bytes": 1} for number in (1, 2)]

    def close(self) -> None: ...


def test_pages_of_swift_that_begin_again_are_refused() -> None:
    store = SwiftStore.__new__(SwiftStore)
    pages = Pages()
    store._idle, store._is_per_user = deque([pages]), False
    with pytest.raises(StoreError, match="the list of container c does not end"):
        [*store.listed("c", "p")]

    assert [one["marker"] for one in pages.asked] == ["", "p-00002"]


@pytest.mark.parametrize("container", [".", "..", ".hidden", "", "a/b", "x" * 257])
def test_a_container_of_swift_that_is_hidden_or_no_name_is_refused(rows, container: str) -> None:
    store = SwiftStore.__new__(SwiftStore)
    store.bucket = container
    with pytest.raises(BackupDriverException, match="container"):
        store.container(rows.record(rows.new(container=container)))


@pytest.mark.parametrize("container", [".hidden", ".", "..", "a/b"])
def test_a_backup_of_cinder_is_found_in_a_hidden_container_of_swift(rows, container: str) -> None:
    store = SwiftStore.__new__(SwiftStore)
    row = rows.record(rows.new(container=container, service_metadata="v/1/az_backup_x"))
    if container == ".hidden":
        assert store.container(row) == container
    else:
        with pytest.raises(BackupDriverException, match="no name"):
            store.container(row)


@settings(max_examples=examples(100), deadline=None)
@given(dice=st.randoms(use_true_random=False), count=st.integers(0, 60))
def test_a_list_of_objects_is_what_was_added(dice: random.Random, count: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(object_list, "_IN_MEMORY", 8)
        patch.setattr(object_list, "_BATCH", 4)
        patch.setattr(object_list, "_BUCKET", 5)
        known = [
            StoredObject(
                f"p-{number:0{dice.randrange(5, 11)}d}",
                dice.randrange(1 << 60),
                dice.randrange(1, 1 << 60),
                dice.choice(["none", "zlib", "bz2", "zstd"]),
                f"{dice.getrandbits(128):032x}",
                *dice.choice([(None, None), (dice.getrandbits(63), dice.getrandbits(32))]),
                zeros=dice.random() < 0.5,
            )
            for number in range(count)
        ]
        found = ObjectList.of("p", known)

        assert [*found] == known
        assert [found[at] for at in range(count)] == known
        assert not found.has_duplicates()
        found.sort()
        assert [*found] == sorted(known, key=lambda one: one.offset)
        if known:
            found.add(dice.choice(known))
            assert found.has_duplicates()


@pytest.mark.parametrize("change", [{"size": 1 << 63}, {"crc32": 1 << 32}, {"name": "q-00001"}])
def test_an_object_that_does_not_fit_is_refused(change: dict[str, Any]) -> None:
    one = StoredObject(**{"name": "p-00001", **_FACTS, **change})
    with pytest.raises(ValueError, match="no object of this backup|too large"):
        ObjectList("p").add(one)


_FACTS = {"offset": 0, "length": 1, "compression": "none", "md5": "0" * 32, "size": 1, "crc32": 1}
