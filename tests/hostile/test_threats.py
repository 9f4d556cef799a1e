# SPDX-License-Identifier: Apache-2.0
"""Every row of docs/threats.rst names tests, and each of them exists."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "threats.rst").read_text(encoding="utf-8")

BOUNDARIES = (
    "Tenant",
    "API",
    "Bus",
    "Database",
    "Journal",
    "Image service",
    "Backup store",
    "Backend",
    "Operator",
    "Root helper",
)

_TABLE = re.compile(r"^\.\. list-table::.*\n(?:[ ].*\n|\n)+", re.MULTILINE)
_TEST = re.compile(r"``(tests/[\w/]+\.py)::(\w+)``")


def rows(page: str) -> Iterator[list[str]]:
    """Yield the cells of each row of the page's tables, without their heads."""
    for table in _TABLE.findall(page):
        for row in table.split("\n   * - ")[2:]:
            yield [" ".join(cell.split()) for cell in row.split("\n     - ")]


@functools.cache
def functions_of(path: str) -> frozenset[str]:
    """Return the names of the test functions of a module."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def test_each_boundary_has_a_section() -> None:
    missing = [name for name in BOUNDARIES if f"\n{name}\n===" not in PAGE]

    assert missing == []


@pytest.mark.parametrize("name", BOUNDARIES)
def test_each_boundary_has_rows(name: str) -> None:
    section = re.split(r"\n(?=[^\n]+\n=+\n)", PAGE.partition(f"\n{name}\n===")[2])[0]

    assert list(rows(section)) != []


@pytest.mark.parametrize("row", list(rows(PAGE)), ids=lambda row: row[0][:60])
def test_each_row_names_tests_that_exist(row: list[str]) -> None:
    assert len(row) == 3, row
    named = _TEST.findall(row[2])

    assert named, f"no test in the row: {row}"
    for path, name in named:
        assert (ROOT / path).is_file(), path
        assert name in functions_of(path), f"{path} has no {name}"


def test_rows_are_read_from_tables_without_their_heads() -> None:
    page = (
        "Title\n\n.. list-table::\n   :header-rows: 1\n\n   * - attack\n     - check\n"
        "     - test\n   * - two\n       lines\n     - check\n     - ``tests/a.py::b``\n\nText\n"
    )

    assert list(rows(page)) == [["two lines", "check", "``tests/a.py::b``"]]
