# SPDX-License-Identifier: Apache-2.0
"""Differences between a file and an older copy of it, as far as the file system knows."""

from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path

import pytest

from drivers.volume import changed_extents
from tests.conformance.places import loop_mount, require_programs

BLOCK = 4096
SIZE = 512 * BLOCK


@pytest.fixture(scope="module")
def xfs(tmp_path_factory: pytest.TempPathFactory):
    """A file system that copies by reference."""
    require_programs("mkfs.xfs")
    make = ["mkfs.xfs", "-q", "-m", "reflink=1"]
    with loop_mount(make, tmp_path_factory.mktemp("xfs")) as place:
        yield place


def differences(one: Path, other: Path) -> set[int]:
    """Return the numbers of blocks that differ."""
    a, b = one.read_bytes(), other.read_bytes()
    return {n for n in range(SIZE // BLOCK) if a[n * BLOCK :][:BLOCK] != b[n * BLOCK :][:BLOCK]}


def told(one: Path, other: Path) -> set[int]:
    found = changed_extents.changed(str(one), str(other))
    assert found == sorted(found)
    return {n for start, end in found for n in range(start // BLOCK, -(-end // BLOCK))}


def copied(source: Path, target: Path) -> None:
    subprocess.run(["cp", "--reflink=always", source, target], check=True)


class TestChanged:
    def test_copies_by_reference_are_the_same(self, xfs: Path) -> None:
        one, other = xfs / "one", xfs / "other"
        one.write_bytes(os.urandom(SIZE))
        copied(one, other)
        assert told(one, other) == set()

    @pytest.mark.parametrize("seed", range(8))
    def test_nothing_that_changed_is_left_out(self, xfs: Path, seed: int) -> None:
        dice = random.Random(seed)
        before, now = xfs / f"before-{seed}", xfs / f"now-{seed}"
        with open(before, "wb") as file:
            file.truncate(SIZE)
            for _ in range(20):
                file.seek(dice.randrange(SIZE // BLOCK) * BLOCK)
                file.write(dice.randbytes(BLOCK * dice.randrange(1, 9)))
            file.truncate(SIZE)
        copied(before, now)
        with open(now, "r+b") as file:
            for _ in range(6):
                file.seek(dice.randrange(SIZE - BLOCK))
                file.write(dice.randbytes(dice.randrange(1, BLOCK)))
        found = told(now, before)
        assert differences(now, before) <= found
        assert len(found) < 40

    def test_a_hole_over_data_is_a_change(self, xfs: Path) -> None:
        before, now = xfs / "full", xfs / "holes"
        before.write_bytes(os.urandom(SIZE))
        copied(before, now)
        subprocess.run(
            ["fallocate", "-p", "-o", str(10 * BLOCK), "-l", str(4 * BLOCK), now], check=True
        )
        assert told(now, before) == {10, 11, 12, 13}

    def test_other_copies_differ_wherever_there_is_data(self, xfs: Path) -> None:
        before, now = xfs / "a", xfs / "b"
        for path in (before, now):
            with open(path, "wb") as file:
                file.truncate(SIZE)
                file.seek(100 * BLOCK)
                file.write(b"x" * BLOCK)
        assert told(now, before) == {100}

    def test_a_file_system_that_does_not_tell(self) -> None:
        path = Path("/dev/shm") / f"extents-{os.getpid()}"
        path.write_bytes(b"x")
        try:
            with pytest.raises(OSError, match="not supported"):
                changed_extents.changed(str(path), str(path))
        finally:
            path.unlink()
