# SPDX-License-Identifier: Apache-2.0
"""Rows of the functional tests are played on one database each, and only those."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests import functional
from tests.conftest import DATABASES
from tests.functional.conftest import RECORDS, Repetitions

OPERATIONS = Path(functional.__file__).parent / "operations" / "test_rows.py"


def items(path: Path) -> list[Any]:
    """Return the tests of a table of three rows on each database."""
    both = [(row, database) for row in ("a", "b", "c") for database in DATABASES]
    return [
        SimpleNamespace(
            nodeid=f"{path.name}::test[{database}-{row}]",
            path=path,
            callspec=SimpleNamespace(params={"database": database, "row": row}),
        )
        for row, database in both
    ]


def test_the_first_row_is_played_on_each_and_the_others_on_one() -> None:
    given = items(OPERATIONS)
    repeated = Repetitions(given)

    played = [one.callspec.params["row"] for one in given if not repeated(one)]
    assert sorted(played) == ["a", "a", "a", "b", "c"]


@pytest.mark.parametrize(
    "path", [RECORDS / "test_rows.py", Path(functional.__file__).parents[1] / "faults" / "test.py"]
)
def test_all_are_played_of_the_records_and_of_other_folders_in_the_run(path: Path) -> None:
    given = items(path)
    repeated = Repetitions([*items(OPERATIONS), *given])

    assert not [one for one in given if repeated(one)]
