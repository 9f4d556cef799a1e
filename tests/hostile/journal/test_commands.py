# SPDX-License-Identifier: Apache-2.0
"""Commands that read a forged journal run nothing of it, and show each entry in its line."""

from __future__ import annotations

from typing import Any

import pytest
from taskflow import states

from tests.hostile.journal.forging import FIELDS, FOREIGN, WRONG_KINDS, Forger
from tests.unit.cli.conftest import Shell

pytestmark = pytest.mark.usefixtures("nothing_ran")


@pytest.mark.parametrize("path", FOREIGN, ids=lambda path: path[:30] or "empty")
def test_a_foreign_factory_is_shown_as_unknown(
    holdfast: Shell, forged_for_commands: Forger, path: str
) -> None:
    flow = forged_for_commands.entry("bad", factory=path)
    good = forged_for_commands.entry()
    listed = {row["flow"]: row["task"] for row in holdfast("flow", "list", "-f", "json").rows}
    shown = holdfast("flow", "show", flow, "-f", "json").rows
    drawn = holdfast("flow", "graph", flow)

    assert listed[good] == "note"
    assert listed[flow] == shown["problem"]
    assert shown["problem"].startswith("unknown operation: ")
    assert len(shown["problem"]) < 200
    assert drawn.status == 1 and drawn.out == ""
    assert "cannot be drawn: unknown operation" in drawn.errors[0]


@pytest.mark.parametrize("state", [states.PENDING, states.SUCCESS, states.FAILURE])
@pytest.mark.parametrize("field", [*FIELDS, "tasks", "left", "failure", "request_id"])
def test_fields_of_wrong_kinds_are_listed_and_shown(
    holdfast: Shell, forged_for_commands: Forger, field: str, state: str
) -> None:
    flows = [forged_for_commands.entry("bad", **{field: value}) for value in WRONG_KINDS]
    for flow in flows:
        forged_for_commands.column(flow, "state", state)
        forged_for_commands.task(flow, meta='{"began": "x", "ended": 1e308, "progress": []}')
    listed = {row["flow"] for row in holdfast("flow", "list", "--all", "-f", "json").rows}
    holdfast("cast", "list", "-f", "json")
    for flow in flows:
        assert holdfast("flow", "show", flow, "--traceback", "-f", "json").status == 0

    assert set(flows) <= listed


@pytest.mark.parametrize(
    ("column", "value"), [("meta", "{"), ("created_at", "yesterday"), ("meta", "[" * 100_000)]
)
def test_columns_that_cannot_be_decoded_are_listed(
    holdfast: Shell, forged_for_commands: Forger, column: str, value: Any
) -> None:
    flow, good = forged_for_commands.entry("bad"), forged_for_commands.entry()
    forged_for_commands.column(flow, column, value)
    rows = {row["flow"]: row for row in holdfast("flow", "list", "-f", "json").rows}
    shown = holdfast("flow", "show", flow, "-f", "json").rows

    assert rows[good]["task"] == "note"
    assert "cannot be read" in shown["failure"]
