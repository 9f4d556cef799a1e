# SPDX-License-Identifier: Apache-2.0
"""Rows that services have left, for the tests of recovery."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.flows.world.orphans import Left


@pytest.fixture
def left(tmp_path: Path) -> Iterator[Left]:
    made = Left(tmp_path)
    yield made
    made.database.dispose()
