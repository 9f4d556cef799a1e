# SPDX-License-Identifier: Apache-2.0
"""A world for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.flows.world import World


@pytest.fixture
def tidy(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Nothing was undone in vain: no traceback of a revert that had nothing to do."""
    yield
    assert "could not be undone" not in caplog.text


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)
