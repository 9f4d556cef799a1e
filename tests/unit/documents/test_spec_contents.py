# SPDX-License-Identifier: Apache-2.0
"""docs/spec has every RPC method with its arguments, every column, and every message."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from drivers.interface import backup, group, manage, snapshot, volume
from flows import messages
from worker.db import models
from worker.rpc.clients.backup import METHODS as BACKUP_METHODS
from worker.rpc.clients.volume import METHODS as VOLUME_METHODS

SPEC = Path(__file__).parents[3] / "docs" / "spec"
METHODS = [
    *(("volume-rpc", name, method) for name, method in VOLUME_METHODS.items()),
    *(("backup-rpc", name, method) for name, method in BACKUP_METHODS.items()),
]
INTERFACES = (
    backup.BackupDriver,
    group.VolumeConsistencyGroupDriver,
    manage.VolumeManagementDriver,
    snapshot.VolumeSnapshotManagementDriver,
    volume.VolumeDriver,
)
UNUSED = {
    "encryption": {"encryption_id"},
    "transfers": {
        *("salt", "crypt_hash", "no_snapshots", "accepted"),
        *("source_project_id", "destination_project_id"),
    },
}
"""Columns that the worker neither reads nor writes."""


@cache
def words(document: str) -> set[str]:
    return set(re.findall(r"\w+", (SPEC / f"{document}.rst").read_text(encoding="utf-8")))


@pytest.mark.parametrize("document, name, method", METHODS, ids=lambda value: str(value)[:40])
def test_each_method_is_described_with_its_arguments(document, name, method):
    assert {name, *method.arguments, *method.optional} - words(document) == set()


@pytest.mark.parametrize("table", models.metadata.tables.values(), ids=lambda table: table.name)
def test_each_column_is_described(table):
    columns = {column.name for column in table.columns} - UNUSED.get(table.name, set())

    assert {table.name, *columns} - words("schema") == set()


def test_each_number_of_a_message_is_described():
    numbers = {
        value
        for value in vars(messages).values()
        if isinstance(value, str) and re.fullmatch(r"\d{3}", value)
    }

    assert len(numbers) > 20
    assert numbers - words("volume-rpc") == set()


@pytest.mark.parametrize("interface", INTERFACES, ids=lambda kind: kind.__name__)
def test_each_method_of_an_interface_is_described(interface):
    methods = {name for name in dir(interface) if not name.startswith("_") and name != "OPTS"}

    assert methods - words("interfaces") == set()
