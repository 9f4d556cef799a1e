# SPDX-License-Identifier: Apache-2.0
"""Chains that are pruned and consolidated restore the same bytes as before."""

from __future__ import annotations

import errno
import gc
import os
import random
import shutil
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drivers.backup.chains import overlay
from drivers.backup.chains.overlay import Fragment
from drivers.backup.posix import PosixDriver
from drivers.backup.stores.directory_store import DirectoryStore
from drivers.interface.errors import BackupDamaged, BackupDriverException
from drivers.interface.pace import Pace
from tests.backups import BLOCK, Rows, posix, scribble
from tests.length import examples

KINDS = ("zlib", "bz2", "zstd", "none")


class Killed(BaseException):
    """The process ends here."""

    @classmethod
    def throw(cls, _part: float) -> None:
        raise cls


class Chains:
    """Chains of backups of one volume, and the volume as it was at the moment of each."""

    def __init__(self, root: Path, dice: random.Random, **options: Any) -> None:
        self.root, self.dice = root, dice
        self.options = options
        self.driver, self.rows = posix(root, **options), Rows()
        self.volume = root / "volume"
        self.size = dice.randrange(1, 80 * BLOCK)
        self.kept: dict[str, dict[str, Any]] = {}

    def make(self) -> None:
        """Change the volume, and back it up on top of any backup, or fully."""
        scribble(self.volume, self.dice, self.size, writes=self.dice.randrange(5))
        full = not self.kept or self.dice.random() < 0.15
        row = self.rows.new(None if full else self.any())
        self.rows.back_up(self.driver, row, self.volume)
        shutil.copyfile(self.volume, self.root / f"as-{row['id']}")
        self.kept[row["id"]] = row

    def any(self) -> dict[str, Any]:
        return self.dice.choice([*self.kept.values()])

    def rewrite(self, row: dict[str, Any], base: dict[str, Any] | None) -> None:
        """Store a backup anew, perhaps with interruptions, and switch its row."""
        record, before = self.rows.record(row), row["service_metadata"]
        place = self.driver.other_place(record)
        on = base and self.rows.record(base)
        while True:
            try:
                row.update(self.driver.rewrite(record, on, place, pace=self.pace()))
                break
            except Killed:
                self.check(row)  # its first copy is as before
                self.driver = posix(self.root, **self.options)
        for _ in range(2):
            self.driver.remove_copy(self.rows.record(row), before)

    def pace(self) -> Pace:
        def report(_part: float) -> None:
            if self.dice.random() < 0.2:
                raise Killed

        return Pace(progress=report)

    def prune(self) -> None:
        """Delete a backup, whose children are handed its data."""
        row = self.any()
        for child in [one for one in self.kept.values() if one["parent_id"] == row["id"]]:
            self.rewrite(child, self.rows.all.get(row["parent_id"] or ""))
        self.driver.delete_backup(self.rows.record(row))
        del self.kept[row["id"]], self.rows.all[row["id"]]

    def consolidate(self) -> None:
        """Make a full backup of one."""
        row = self.any()
        if row["parent_id"]:
            self.rewrite(row, None)
            assert row["parent_id"] is None

    def check(self, row: dict[str, Any]) -> None:
        """Compare a restored backup with the volume of its moment, and verify it."""
        target = self.root / "target"
        target.write_bytes(self.dice.randbytes(self.size))
        self.rows.restore(self.driver, row, target)
        assert target.read_bytes() == (self.root / f"as-{row['id']}").read_bytes()
        self.driver.verify(self.rows.record(row))


@settings(
    max_examples=examples(32),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(seed=st.integers(0, 2**32), kind=st.sampled_from(KINDS), steps=st.integers(2, 12))
def test_every_backup_of_any_chain_comes_back(seed: int, kind: str, steps: int) -> None:
    dice = random.Random(seed)
    with tempfile.TemporaryDirectory() as directory:
        blocks = dice.choice((2, 9, 64))
        options = {"backup_compression_algorithm": kind, "backup_file_size": blocks * BLOCK}
        chains = Chains(Path(directory), dice, **options)
        for _ in range(steps):
            if len(chains.kept) < 2 or dice.random() < 0.5:
                chains.make()
            else:
                dice.choice((chains.prune, chains.consolidate))()
        for row in chains.kept.values():
            chains.check(row)
        for row in chains.kept.values():
            chains.driver.delete_backup(chains.rows.record(row))
        assert [*(chains.root / "store").iterdir()] == []
        assert [*(chains.root / "work").iterdir()] == []


@pytest.fixture
def chain(tmp_path: Path, rows: Rows, volume: Path) -> list[dict[str, Any]]:
    """Three backups, each with a change inside the first object of the one before."""
    made: list[dict[str, Any]] = []
    for number in range(3):
        with open(volume, "r+b") as file:
            file.seek((2 + 2 * number) * BLOCK)
            file.write(os.urandom(100))
        row = rows.new(made[-1] if made else None)
        rows.back_up(driver_of(tmp_path), row, volume)
        made.append(row)
    return made


def driver_of(root: Path) -> PosixDriver:
    return posix(root, backup_compression_algorithm="zlib", backup_transfers=1)


def objects(root: Path, row: dict[str, Any]) -> list[Path]:
    store = root / "store" / row["container"]
    return sorted(store.glob(f"{row['service_metadata']}-[0-9]*"))


class TestCopies:
    def test_whole_objects_are_second_names_of_the_same_files(self, tmp_path, rows, chain):
        driver, leaf = driver_of(tmp_path), rows.record(chain[2])
        whole = {one.stat().st_ino for one in objects(tmp_path, chain[0])[1:]}
        update = driver.rewrite(leaf, None, driver.other_place(leaf))
        made = {one.stat().st_ino for one in objects(tmp_path, {**chain[2], **update})}
        assert whole <= made

    @pytest.mark.parametrize("code", [errno.EPERM, errno.EMLINK, errno.ENOTSUP])
    def test_they_are_copied_where_there_are_no_hard_links(
        self, tmp_path, rows, chain, volume, target, monkeypatch, code
    ):
        def link(*_args: Any, **_named: Any) -> None:
            raise OSError(code, os.strerror(code))

        monkeypatch.setattr(os, "link", link)
        driver, leaf = driver_of(tmp_path), rows.record(chain[2])
        chain[2].update(driver.rewrite(leaf, None, driver.other_place(leaf)))
        for row in chain[:2]:
            driver.delete_backup(rows.record(row))
        rows.restore(driver, chain[2], target)
        assert target.read_bytes() == volume.read_bytes()

    def test_a_damaged_part_is_not_joined(self, tmp_path, rows, chain):
        driver, leaf = driver_of(tmp_path), rows.record(chain[2])
        with open(objects(tmp_path, chain[0])[0], "r+b") as file:
            file.seek(50)
            file.write(b"damaged")
        with pytest.raises(BackupDamaged, match="-00001 is damaged"):
            driver.rewrite(leaf, None, driver.other_place(leaf))

    def test_one_of_a_shorter_device_stays_as_it_is(self, tmp_path, rows, chain, volume):
        os.truncate(volume, volume.stat().st_size - 4 * BLOCK)
        leaf = rows.new(chain[2])
        driver = driver_of(tmp_path)
        rows.back_up(driver, leaf, volume)
        record = rows.record(leaf)
        place = driver.other_place(record)
        with pytest.raises(BackupDriverException, match="builds on one of a longer volume"):
            driver.rewrite(record, None, place)
        assert objects(tmp_path, {**leaf, "service_metadata": place}) == []
        driver.verify(record)

    def test_the_copy_of_a_row_is_not_removed(self, tmp_path, rows, chain):
        driver, leaf = driver_of(tmp_path), rows.record(chain[2])
        for place in (leaf.service_metadata, chain[1]["service_metadata"]):
            with pytest.raises(BackupDriverException):
                driver.remove_copy(leaf, place)
        driver.verify(leaf)

    def test_it_has_to_build_on_the_base(self, tmp_path, rows, chain):
        driver, leaf = driver_of(tmp_path), rows.record(chain[2])
        with pytest.raises(BackupDriverException, match="does not build on"):
            driver.rewrite(leaf, rows.record(rows.new()), driver.other_place(leaf))

    def test_another_place_is_another_one(self, tmp_path, rows, chain):
        driver, leaf = driver_of(tmp_path), rows.record(chain[2])
        assert driver.other_place(leaf) != leaf.service_metadata
        found = leaf.replace(service_metadata=driver.other_place(leaf))
        assert driver.other_place(found) != found.service_metadata

    def test_a_copy_that_fails_leaves_the_object_of_its_name(self, tmp_path, rows, chain):
        store, one = driver_of(tmp_path)._store, chain[0]
        name = objects(tmp_path, one)[0].name
        with pytest.raises(BackupDamaged):
            store.copy(one["container"], "absent", one["container"], name)
        store.copy(one["container"], name, one["container"], name)
        driver_of(tmp_path).verify(rows.record(one))
        assert not [*objects(tmp_path, one)[0].parent.glob(".new-*")]


class TestFrozenHost:
    """An attempt is frozen, another one ends the rewrite, and the first one wakes up."""

    @pytest.mark.parametrize("work", ["work", "elsewhere"])
    @pytest.mark.parametrize("end", ["-00001", "_sha256file"])
    def test_its_late_writes_touch_no_other_copy(
        self, tmp_path, rows, chain, volume, target, monkeypatch, work, end
    ):
        kind = {"backup_compression_algorithm": "zlib", "backup_transfers": 1}
        first = posix(tmp_path, backup_work_path=str(tmp_path / work), **kind)
        second = driver_of(tmp_path)
        leaf = rows.record(chain[2])
        place = second.other_place(leaf)
        frozen, wake = threading.Event(), threading.Event()

        def freeze(store: DirectoryStore, name: str) -> None:
            if store is first._store and name.endswith(end):
                frozen.set()
                assert wake.wait(120)

        real_copy, real_writing = DirectoryStore.copy, DirectoryStore.writing

        def copy(store: DirectoryStore, container: str, name: str, into: str, to: str) -> None:
            freeze(store, to)
            real_copy(store, container, name, into, to)

        def writing(store: DirectoryStore, container: str, name: str) -> Any:
            freeze(store, name)
            return real_writing(store, container, name)

        monkeypatch.setattr(DirectoryStore, "copy", copy)
        monkeypatch.setattr(DirectoryStore, "writing", writing)
        with ThreadPoolExecutor(1) as threads:
            late = threads.submit(first.rewrite, leaf, None, place)
            try:
                assert frozen.wait(120)
                chain[2].update(second.rewrite(leaf, None, place))
                second.remove_copy(rows.record(chain[2]), leaf.service_metadata)
                second.remove_copy(rows.record(chain[2]), place)
            finally:
                wake.set()
            with suppress(BackupDriverException):  # its chain has changed
                late.result()
        second.verify(rows.record(chain[2]))
        rows.restore(second, chain[2], target)
        assert target.read_bytes() == volume.read_bytes()
        second.remove_copy(rows.record(chain[2]), place)
        [table] = (tmp_path / "store").rglob(f"*{chain[2]['id']}_metadata")
        assert table.name == f"{chain[2]['service_metadata']}_metadata"

    def test_an_attempt_continues_one_that_was_killed(self, tmp_path, rows, chain):
        leaf, killed = rows.record(chain[2]), Pace(progress=Killed.throw)
        place = driver_of(tmp_path).other_place(leaf)
        with pytest.raises(Killed):
            driver_of(tmp_path).rewrite(leaf, None, place, pace=killed)
        before = {path.name for path in (tmp_path / "store").rglob(f"*{leaf.id}-*")}
        made = driver_of(tmp_path).rewrite(leaf, None, place)["service_metadata"]
        assert [name for name in before if name.startswith(made)]
        assert driver_of(tmp_path).rewrite(leaf, None, place)["service_metadata"] == made


class TestOverlay:
    def test_small_changes_are_joined_with_what_they_changed(self, tmp_path, rows, chain):
        driver, leaf = driver_of(tmp_path), rows.record(chain[2])
        before = len(objects(tmp_path, chain[0]))
        assert driver.rewrite(leaf, None, driver.other_place(leaf))["object_count"] == before

    @settings(max_examples=examples(200), deadline=None)
    @given(data=st.data(), count=st.integers(1, 4), most=st.integers(1, 12))
    def test_each_byte_is_of_the_newest(self, data, count: int, most: int) -> None:
        links = [data.draw(_link(number)) for number in range(count)]
        wanted: dict[int, tuple[int, str]] = {}
        for number in reversed(range(count)):
            for one in links[number]:
                wanted |= {at: (number, one.name) for at in range(one.offset, one.end)}
        found = [*overlay.visible(links)]
        assert _bytes(found) == wanted
        made = [*overlay.new_objects(found, most)]
        assert [*_bytes(part for one in made for part in one.fragments).items()] == [
            *_bytes(found).items()
        ]
        for one in made:
            assert one.copied or one.end - one.start <= most
            ends = [part.end for part in one.fragments]
            assert ends[:-1] == [part.start for part in one.fragments[1:]]


@st.composite
def _link(draw: Any, number: int) -> list[Any]:
    from drivers.backup.format.layout import StoredObject

    at, made = 0, []
    for index in range(draw(st.integers(0, 5))):
        at += draw(st.integers(0, 6))
        length = draw(st.integers(1, 9))
        made.append(StoredObject(f"{number}-{index}", at, length, "none", "0" * 32))
        at += length
    return made


def _bytes(fragments: Any) -> dict[int, tuple[int, str]]:
    found: dict[int, tuple[int, str]] = {}
    for one in fragments:
        assert isinstance(one, Fragment) and one.start < one.end
        found |= {at: (one.link, one.source.name) for at in range(one.start, one.end)}
    return found


def kill_at(part: float) -> Pace:
    """Return the pace of a restore that is killed at a part of it."""

    def report(done: float) -> None:
        if done >= part:
            raise Killed

    return Pace(progress=report, key="one")


class TestResumedRestore:
    """The chain is changed between a kill and the resumed restore."""

    @pytest.fixture
    def driver(self, tmp_path: Path) -> Iterator[PosixDriver]:
        made = posix(tmp_path, backup_file_size=4 * BLOCK, backup_transfers=1)
        yield made
        vars(made).clear()  # its threads end with its parts, which errors of objects hold as well
        gc.collect()

    @pytest.fixture
    def parts(self, driver, rows, tmp_path) -> list[dict[str, Any]]:
        """Three backups, each with the first half of the one before written anew."""
        made: list[dict[str, Any]] = []
        source = tmp_path / "source"
        source.write_bytes(os.urandom(32 * BLOCK))
        for blocks in (32, 16, 8):
            with open(source, "r+b") as file:
                file.write(os.urandom(blocks * BLOCK))
            made.append(rows.new(made[-1] if made else None))
            rows.back_up(driver, made[-1], source)
        return made

    def restore(self, driver, rows, row, target, pace, **named: Any) -> None:
        with open(target, "r+b") as file:
            driver.restore(rows.record(row), "v", file, pace=pace, **named)

    def test_its_checkpoint_is_of_another_chain(self, driver, rows, parts, tmp_path):
        target = tmp_path / "other"
        target.write_bytes(os.urandom(32 * BLOCK))
        with pytest.raises(Killed):
            self.restore(driver, rows, parts[2], target, kill_at(0.93))
        middle = rows.record(parts[1])
        parts[1].update(driver.rewrite(middle, None, driver.other_place(middle)))
        driver.remove_copy(rows.record(parts[1]), middle.service_metadata)
        self.restore(driver, rows, parts[2], target, Pace(key="one"))
        assert target.read_bytes() == (tmp_path / "source").read_bytes()

    def test_damage_is_told_and_stays_below_newer_data(self, driver, rows, parts, tmp_path):
        lost = objects(tmp_path, parts[0])[0]
        lost.unlink()
        target = tmp_path / "other"
        target.write_bytes(bytes(32 * BLOCK))
        with pytest.raises(Killed):
            self.restore(driver, rows, parts[2], target, kill_at(0.93), damage=[])
        found: list[Any] = []
        self.restore(driver, rows, parts[2], target, Pace(key="one"), damage=found)
        assert [one.name for one in found] == [lost.name]
        assert target.read_bytes() == (tmp_path / "source").read_bytes()
