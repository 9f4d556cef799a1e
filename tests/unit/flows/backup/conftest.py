# SPDX-License-Identifier: Apache-2.0
"""A store of backups, and a chain in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.flows.backup.chain_store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path)
    yield made
    del made.driver  # its threads end with it


@pytest.fixture
def chain(store: Store) -> list[str]:
    made = [store.make()]
    for _ in range(3):
        made.append(store.make(made[-1]))
    return made
