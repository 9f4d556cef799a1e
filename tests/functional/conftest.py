# SPDX-License-Identifier: Apache-2.0
"""Which rows of the tables of operations are played on which database."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from pathlib import Path

import pytest

from tests.conftest import DATABASES

HERE = Path(__file__).parent

RECORDS = HERE / "db"
"""Tests of the SQL itself, all of which are played on each database."""


@pytest.fixture
def forked() -> bool:
    """Fork services; the tests of the process itself execute them."""
    return True


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option for the whole matrix."""
    parser.getgroup("holdfast").addoption(
        "--every-database",
        action="store_true",
        help="play each row of a table on every database, not only the first one",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Play the first row of each table on every database and the others on one each, in turn.

    The rules of statuses are the same on all of them; only SQL differs, and each
    operation runs the same statements in all its rows.
    """
    if config.getoption("every_database", False):
        return
    repeated = Repetitions(items)
    left_out = [item for item in items if repeated(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        kept = set(items) - set(left_out)
        items[:] = [item for item in items if item in kept]


class Repetitions:
    """Chooses a database for each row of a table but its first one."""

    def __init__(self, items: list[pytest.Item]) -> None:
        self._chosen: dict[tuple[str, str], str] = {}
        tables: dict[str, dict[str, list[str]]] = {}
        for item in items:
            if (database := _database(item)) is not None:
                rows = tables.setdefault(_table(item), {})
                rows.setdefault(_row(item), []).append(database)
        turns: Counter[Path] = Counter()
        paths = {_table(item): item.path for item in items}
        for table, rows in tables.items():
            for row, databases in itertools.islice(rows.items(), 1, None):
                self._chosen[table, row] = databases[turns[paths[table]] % len(databases)]
                turns[paths[table]] += 1

    def __call__(self, item: pytest.Item) -> bool:
        """Return whether another database has this row."""
        database = _database(item)
        if database is None:
            return False
        return self._chosen.get((_table(item), _row(item)), database) != database


def _table(item: pytest.Item) -> str:
    return item.nodeid.partition("[")[0]


def _database(item: pytest.Item) -> str | None:
    """Return the database of an item, None where it has no choice.

    In a run with other folders, pytest shows this module their items too.
    """
    given = getattr(item, "callspec", None)
    if given is None or item.path.is_relative_to(RECORDS) or not item.path.is_relative_to(HERE):
        return None
    values = given.params.values()
    return next((value for value in values if isinstance(value, str) and value in DATABASES), None)


def _row(item: pytest.Item) -> str:
    """Return the parameters of an item without its database."""
    given = item.nodeid.partition("[")[2].rstrip("]")
    return re.sub(rf"(^|-){_database(item)}(?=-|$)", "", given)
