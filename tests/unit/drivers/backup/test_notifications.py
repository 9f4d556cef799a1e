# SPDX-License-Identifier: Apache-2.0
"""Notifications about a backup's objects: spec/backup-rpc §8."""

from __future__ import annotations

import pytest

from drivers.backup.format.layout import StoredObject
from drivers.backup.transfer import backup_run


def stored(number: int) -> StoredObject:
    return StoredObject(f"p-{number:05d}", number * 10, 10, "none", "0" * 32, 10, 1)


def test_the_objects_in_their_order_and_the_next_number() -> None:
    told = backup_run.notification_payload("p", [stored(3), stored(1), stored(2)])

    assert [next(iter(one)) for one in told["list"]] == ["p-00001", "p-00002", "p-00003"]
    assert (told["id"], told["prefix"], told["volume_meta"]) == (4, "p", None)


def test_of_very_many_only_the_last_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup_run, "MAX_NOTIFIED", 2)
    told = backup_run.notification_payload("p", [stored(number) for number in range(1, 6)])

    assert [next(iter(one)) for one in told["list"]] == ["p-00004", "p-00005"]
    assert told["id"] == 6
