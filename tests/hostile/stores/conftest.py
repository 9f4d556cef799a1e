# SPDX-License-Identifier: Apache-2.0
"""A volume, a target with old data, and rows of backups."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from drivers.backup.transfer import extents
from tests.backups import MIB, Rows, scribble

SIZE = MIB + 512


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extents, "MIN_HOLE", MIB)
    monkeypatch.setattr(extents, "MAX_ZEROS", 2 * MIB)


@pytest.fixture
def rows() -> Rows:
    return Rows()


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    path = tmp_path / "volume"
    scribble(path, random.Random(1), SIZE)
    return path


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A volume of the same size that is full of old data."""
    path = tmp_path / "target"
    path.write_bytes(b"OLD!" * (SIZE // 4))
    return path
