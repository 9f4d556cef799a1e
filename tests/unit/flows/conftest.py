# SPDX-License-Identifier: Apache-2.0
"""A world for each test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.flows.world.world import World


@pytest.fixture(autouse=True)
def _no_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep data in the page cache: a flow that is killed here does not take the kernel along."""
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)


@pytest.fixture
def tidy(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Nothing was undone in vain: no traceback of a revert that had nothing to do."""
    yield
    said = [record.getMessage() for record in caplog.get_records("call")]
    assert not [line for line in said if "could not be reverted" in line]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)
