# SPDX-License-Identifier: Apache-2.0
"""A start with forged entries runs the good ones, and nothing of the others."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from taskflow import states

from tests.hostile.journal.forging import FIELDS, FOREIGN, OTHER_VERSION, WRONG_KINDS, Forger
from tests.length import examples
from tests.unit.worker.execution.test_operation_pool import GATE, Bench
from worker.journal.entries.stored_operation import UNREADABLE
from worker.rpc.operation import Operation

pytestmark = pytest.mark.usefixtures("nothing_ran")

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def start(bench: Bench, good: int) -> None:
    """Resume what the journal holds, and wait for the end of the good entries."""
    flows = [entry.flow for entry in bench.journal.entries() if entry.resource == "volume good"]
    assert bench.operations.resumed.load_unfinished() == good == len(flows)
    bench.operations.resumed.start()
    for flow in flows:
        bench.ended(flow)
    assert set(GATE.ran) == {"good"}


@pytest.mark.parametrize("path", FOREIGN, ids=lambda path: path[:30] or "empty")
def test_a_foreign_factory_is_set_aside(
    bench: Bench, forged: Forger, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    flow = forged.entry("bad", factory=path, args={"command": "touch /tmp/owned", "name": "bad"})
    forged.entry()
    with caplog.at_level(logging.ERROR):
        start(bench, good=1)

    [line] = [record.getMessage() for record in caplog.records]
    assert flow in line and "set aside as failed" in line and len(line) < 500
    [entry] = bench.journal.entries(among=[states.FAILURE])
    assert entry.flow == flow
    assert "is no flow factory" in str(entry.failure)


@pytest.mark.parametrize("path", OTHER_VERSION)
def test_one_of_another_version_is_left(bench: Bench, forged: Forger, path: str) -> None:
    flow = forged.entry("bad", factory=path)
    forged.entry()
    start(bench, good=1)

    assert bench.state(flow) == states.PENDING


def test_fields_of_wrong_kinds_are_set_aside(bench: Bench, forged: Forger) -> None:
    forged.entry()
    bad = [
        forged.entry("bad", **{field: value})
        for field in FIELDS
        for value in WRONG_KINDS
        if not (field == "method" and value == "text")
        and not (field == "resumes" and value in (True, 7, 1e300))
        and not (field in ("locks", "shared") and isinstance(value, list))
        and not (field == "request" and isinstance(value, dict))
    ]
    start(bench, good=1)

    assert {one.flow for one in bench.journal.entries(among=[states.FAILURE])} == set(bad)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("meta", "{"),
        ("meta", "[" * 100_000),
        ("meta", "[]"),
        ("meta", "7"),
        ("meta", None),
        ("meta", b"\xff\xfe"),
        ("name", None),
        ("created_at", "yesterday"),
    ],
)
def test_columns_that_cannot_be_decoded_are_set_aside(
    bench: Bench, forged: Forger, column: str, value: Any
) -> None:
    flow = forged.entry("bad")
    forged.column(flow, column, value)
    forged.entry()
    if column == "name":
        forged.column(flow, "meta", "{}")
    start(bench, good=1)

    states_of = {entry.flow: entry.state for entry in bench.journal.entries()}
    assert states_of[flow] == states.FAILURE


@pytest.mark.parametrize(
    "columns",
    [
        {"failure": "{}"},
        {"failure": '{"exc_type_names": 7}'},
        {"failure": '["os:system"]'},
        {"failure": '{"exc_type_names": ["os.system"], "exception_str": {}, "version": "x"}'},
        {"atom_type": "no such"},
        {"state": "OWNED"},
        {"meta": '{"saved": "x"}'},
        {"results": "{"},
    ],
    ids=str,
)
def test_tasks_of_wrong_kinds_are_set_aside(
    bench: Bench, forged: Forger, columns: dict[str, Any]
) -> None:
    flow = forged.entry("bad")
    forged.task(flow, **columns)
    forged.entry()
    start(bench, good=1)

    states_of = {entry.flow: entry.state for entry in bench.journal.entries()}
    assert states_of[flow] == states.FAILURE


def test_the_class_of_a_stored_error_is_not_imported(bench: Bench, forged: Forger) -> None:
    flow = forged.entry()
    failure = {
        "exc_type_names": ["intruder.Error", "builtins.Exception"],
        "exception_str": "%s%n{0.__class__}",
        "traceback_str": None,
        "version": 1,
        "exc_args": ["a"],
        "causes": [],
    }
    forged.column(flow, "state", states.RUNNING)
    forged.task(flow, state="REVERTING", intention="REVERT", failure=json.dumps(failure))
    assert bench.operations.resumed.load_unfinished() == 1
    bench.operations.resumed.start()
    bench.ended(flow, states.REVERTED)

    [entry] = bench.journal.entries(among=[states.REVERTED])
    assert entry.failure == "Error: %s%n{0.__class__}"


def test_an_argument_does_not_hide_the_context(bench: Bench, forged: Forger) -> None:
    forged.entry(args={"name": "good", "ctx": "forged", "result": "forged"})
    start(bench, good=1)


@settings(max_examples=examples(400), suppress_health_check=list(HealthCheck), deadline=None)
@given(st.one_of(_JSON, st.dictionaries(st.sampled_from(FIELDS), _JSON)))
def test_any_meta_is_an_operation_or_an_error(meta: Any) -> None:
    try:
        Operation.from_meta(meta)
    except UNREADABLE:
        return
    raise AssertionError("an operation of random fields")


@pytest.mark.parametrize("field", ["locks", "shared"])
@pytest.mark.parametrize(
    "name",
    [
        *("x/../journal.sqlite", "../victim", "/etc/passwd", "x/y", "..", ""),
        *("\x00", "\ud800", "x" * 300, "a\nb", "a\n"),
    ],
    ids=lambda name: ascii(name)[:30],
)
def test_locks_that_are_no_names_are_set_aside(
    bench: Bench, forged: Forger, field: str, name: str
) -> None:
    flow = forged.entry("bad", **{field: [name]})
    forged.entry()
    start(bench, good=1)

    assert [one.flow for one in bench.journal.entries(among=[states.FAILURE])] == [flow]
