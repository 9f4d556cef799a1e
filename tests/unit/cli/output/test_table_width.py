# SPDX-License-Identifier: Apache-2.0
"""Lists are no wider than a terminal, and their ids can be copied."""

from __future__ import annotations

import io
import os
import shutil
import uuid

import pytest

from tests.unit.cli.conftest import Shell
from worker.cli.main import Holdfast
from worker.cli.output.table_width import fitted

ID = "1af51702-c4ac-436e-af04-1a7ae3375fcc"
COLUMNS = ("Flow", "Resource", "Waits for", "Age")
ROWS = [(ID, f"volume {ID}", "", 13), (ID, None, "", 2)]


@pytest.mark.parametrize(
    ("width", "columns", "first"),
    [
        (200, list(COLUMNS), [ID, f"volume {ID}", "", 13]),
        (95, ["Flow", "Resource", "Age"], [ID, f"volume {ID}", 13]),
        (80, ["Flow", "Resource", "Age"], ["1af51702", "volume 1af51702", 13]),
    ],
)
def test_only_what_is_too_wide_is_shortened(width: int, columns: list[str], first: object) -> None:
    found, rows = fitted(COLUMNS, ROWS, width)

    assert list(found) == columns
    assert list(rows[0]) == first


def test_a_table_without_rows_keeps_its_columns() -> None:
    assert fitted(COLUMNS, [], 5) == (COLUMNS, [])


class Terminal(io.StringIO):
    """Standard output of a person."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("out", [Terminal(), io.StringIO()], ids=["terminal", "file"])
def test_a_list_fits_a_terminal_and_is_whole_elsewhere(
    holdfast: Shell, monkeypatch: pytest.MonkeyPatch, out: io.StringIO
) -> None:
    monkeypatch.setattr(shutil, "get_terminal_size", lambda: os.terminal_size((60, 24)))
    volume_id = str(uuid.uuid4())
    row = {"size": 1, "host": "h1@b", "project_id": "narrow", "status": "available"}
    holdfast.records.volumes.create(id=volume_id, **row)
    app = Holdfast()
    app.stdout = out

    assert app.run(["volume", "list", "--project", "narrow", "--max-width", "200"]) == 0
    assert (volume_id in out.getvalue()) is not out.isatty()
    assert volume_id[:8] in out.getvalue()
