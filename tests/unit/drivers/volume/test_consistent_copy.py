# SPDX-License-Identifier: Apache-2.0
"""Several files are copied as of one moment, or not at all."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from drivers.interface.errors import VolumeIsBusy
from drivers.volume import consistent_copy
from drivers.volume.consistent_copy import FileCopy, copy_together
from drivers.volume.files import Directory

COPIES = [FileCopy("a", "a@1"), FileCopy("b", "b@1", 9000)]


@pytest.fixture
def pair(files: Directory, place: Path) -> Path:
    """Two files without recent writes."""
    for name in "ab":
        (place / name).write_bytes(name.encode() * 5000)
        os.utime(place / name, (1, 1))
    return place


class Export:
    """Records the held files."""

    def __init__(self) -> None:
        self.held_names: list[str] = []

    @contextlib.contextmanager
    def held(self, names: Sequence[str]) -> Iterator[None]:
        self.held_names += names
        yield


def writes_after(monkeypatch: pytest.MonkeyPatch, place: Path, times: int) -> list[int]:
    """Write to the first file after its copy was made."""
    copy, count = Directory.copy, [0]

    def copied(self: Directory, source: str, name: str, size: int | None = None) -> None:
        copy(self, source, name, size)
        if source == "a" and count[0] < times:
            count[0] += 1
            with (place / "a").open("r+b") as file:
                file.write(b"written")

    monkeypatch.setattr(Directory, "copy", copied)
    return count


def test_all_are_made_while_servers_are_held(files: Directory, pair: Path) -> None:
    export: Any = Export()
    copy_together(files, export, COPIES)

    assert export.held_names == ["a", "b"]
    assert (pair / "a@1").read_bytes() == b"a" * 5000
    assert (pair / "b@1").read_bytes() == b"b" * 5000 + bytes(4000)


def test_one_that_is_written_to_meanwhile_is_copied_once_more(
    files: Directory, pair: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = writes_after(monkeypatch, pair, 2)
    copy_together(files, None, COPIES)

    assert count == [2]
    assert (pair / "a@1").read_bytes() == (pair / "a").read_bytes()


def test_one_that_is_written_to_all_the_while_is_busy(
    files: Directory, pair: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consistent_copy, "_PAUSE", 0)
    writes_after(monkeypatch, pair, 1000)

    with pytest.raises(VolumeIsBusy, match="as of one moment"):
        copy_together(files, None, COPIES)
    assert sorted(os.listdir(pair)) == ["a", "b"]


def test_a_write_just_before_cannot_hide_one_just_after(
    files: Directory, pair: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock of a file system ticks slowly, so the begin waits for its next tick."""
    (pair / "a").write_bytes(b"fresh" * 1000)
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    copy_together(files, None, COPIES)

    assert len(slept) == 1 and 0 < slept[0] <= 0.02


def test_a_failure_leaves_none(files: Directory, pair: Path) -> None:
    with pytest.raises(FileNotFoundError):
        copy_together(files, None, [*COPIES, FileCopy("gone", "gone@1")])

    assert sorted(os.listdir(pair)) == ["a", "b"]
