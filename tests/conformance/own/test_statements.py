# SPDX-License-Identifier: Apache-2.0
"""Each statement of the seeds has tests that exist, and the page about them is current."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest

from drivers.interface.backup import BackupDriver
from drivers.interface.group import VolumeConsistencyGroupDriver
from drivers.interface.manage import VolumeManagementDriver
from drivers.interface.snapshot import VolumeSnapshotManagementDriver
from drivers.interface.volume import VolumeDriver
from tests.conformance.checks import answers
from worker.db import models

from . import statements

ROOT = Path(__file__).parents[3]
SUITE = ROOT / "tests" / "conformance"

INTERFACES = {
    "VolumeDriverCore": VolumeDriver,
    "VolumeManagementDriver": VolumeManagementDriver,
    "VolumeSnapshotManagementDriver": VolumeSnapshotManagementDriver,
    "VolumeConsistencyGroupDriver": VolumeConsistencyGroupDriver,
    "BackupDriver": BackupDriver,
}


def names_of_tests():
    found = set()
    for path in SUITE.rglob("test_*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef):
                found.add(node.name)
            elif isinstance(node, ast.ClassDef):
                found |= {
                    f"{node.name}::{one.name}"
                    for one in node.body
                    if isinstance(one, ast.FunctionDef)
                }
    return found


def test_named_tests_exist():
    known = names_of_tests()
    named = {name for all_of in statements.SEEDS.values() for one in all_of for name in one.tests}

    missing = {name for name in named - known if not (ROOT / name).exists()}
    assert missing == set()


def test_page_is_current():
    assert statements.DOCUMENT.read_text() == statements.document()


@pytest.mark.parametrize("seed", INTERFACES)
def test_every_method_of_a_seed_has_a_statement(seed):
    page = (ROOT / "docs/spec/seeds.rst").read_text()
    section = re.search(rf"\n{seed}\n=+\n(.*?)(?=\n\w[^\n]*\n=+\n)", page, re.DOTALL)[1]
    methods = set(re.findall(r"^\|? ?([a-z_]+)\(", section, re.MULTILINE))

    assert methods
    assert methods == {one.method for one in statements.SEEDS[seed]}
    assert all(inspect.isfunction(getattr(INTERFACES[seed], name)) for name in methods)


@pytest.mark.parametrize(
    ("columns", "table"),
    [
        (answers.VOLUME_COLUMNS, models.volumes),
        (answers.SNAPSHOT_COLUMNS, models.snapshots),
        (answers.BACKUP_COLUMNS, models.backups),
    ],
    ids=["volume", "snapshot", "backup"],
)
def test_columns_of_answers_are_columns_of_the_row(columns, table):
    known = set(table.columns.keys()) | {"metadata", "admin_metadata"}

    assert set(columns) - known == set()
