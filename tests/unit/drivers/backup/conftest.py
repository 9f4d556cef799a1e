# SPDX-License-Identifier: Apache-2.0
"""A volume, rows of backups, and holes that are small enough for a test."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from drivers.backup.transfer import extents
from tests.backups import MIB, Rows, scribble

SIZE = 3 * MIB + 512


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extents, "MIN_HOLE", MIB)
    monkeypatch.setattr(extents, "MAX_ZEROS", 2 * MIB)


@pytest.fixture
def rows() -> Rows:
    return Rows()


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """A volume with something in it, whose last block is short."""
    path = tmp_path / "volume"
    scribble(path, random.Random(1), SIZE)
    return path


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Another one, of that size, full of something else."""
    path = tmp_path / "target"
    path.write_bytes(random.Random(2).randbytes(SIZE))
    return path
