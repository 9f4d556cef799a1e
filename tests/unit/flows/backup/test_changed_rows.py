# SPDX-License-Identifier: Apache-2.0
"""Changes of rows where no backup needs those that it builds on, and reasons of failures."""

from __future__ import annotations

from typing import Any

import pytest

from drivers.backup.posix import PosixDriver
from flows.backup import consolidate
from tests.unit.flows.backup.chain_store import Store, deleted


@pytest.fixture
def no_parents(monkeypatch: pytest.MonkeyPatch, chain: list[str]) -> None:
    """Have the driver be as that of Ceph: its backups do not need others, and have no copies."""

    def refuse(*_args: Any, **_named: Any) -> Any:
        raise NotImplementedError

    monkeypatch.setattr(PosixDriver, "needs_parents", False)
    for name in ("other_place", "rewrite", "remove_copy"):
        monkeypatch.setattr(PosixDriver, name, refuse)


@pytest.mark.usefixtures("no_parents")
@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_backup_is_only_deleted(store: Store, chain: list[str], which: int) -> None:
    before, child = store.found(chain[which]).parent_id, store.found(chain[which + 1])
    assert deleted(store, chain[which]).failure is None
    assert store.found(chain[which]).deleted
    row = store.found(child.id)
    assert (row.parent_id, row.service_metadata) == (before, child.service_metadata)
    assert store.places(child.id) == {child.service_metadata}
    left = [one for one in chain if one != chain[which]]
    assert store.counts(*left) == [1, 1, 0]


@pytest.mark.usefixtures("no_parents")
def test_a_backup_becomes_a_full_one(store: Store, chain: list[str]) -> None:
    before = store.found(chain[2])
    assert store.run(consolidate.flow, backup_id=chain[2]).failure is None
    row = store.found(chain[2])
    assert (row.parent_id, row.service_metadata) == (None, before.service_metadata)
    assert store.counts(*chain) == [1, 0, 1, 0]


@pytest.mark.parametrize(
    ("reason", "wanted"),
    [("it was not consolidated: it is full", None), ("o-1 was left out", "o-1 was left out")],
)
def test_a_consolidation_forgets_only_its_own_failures(
    store: Store, chain: list[str], reason: str, wanted: str | None
) -> None:
    store.records.backups.update(chain[2], fail_reason=reason)
    assert store.run(consolidate.flow, backup_id=chain[2]).failure is None
    assert store.found(chain[2]).fail_reason == wanted
