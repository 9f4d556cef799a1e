# SPDX-License-Identifier: Apache-2.0
"""The structure, depth, texts and numbers of a message are limited."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.hostile import memory
from tests.length import examples
from worker.compat.kombu import MESSAGE_MAX
from worker.rpc.received import message_limits
from worker.rpc.received.message_limits import ExcessiveMessage

WIRE = Path(__file__).parents[2] / "unit" / "rpc" / "wire"
"""Messages of Cinder's services."""

MIB = 1 << 20

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=40,
)


def nested(depth: int, kind: str = "list") -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value] if kind == "list" else {"a": value}
    return value


def full(unit: str) -> bytes:
    """Return the largest message of equal parts."""
    return ("[" + unit * ((MESSAGE_MAX - 4) // len(unit)) + "0]").encode()


@pytest.mark.parametrize("unit", ["[],", "{},", '"",', "0,", '{"":0},', "[[]],", "[[[[[[]]]]]],"])
def test_a_structure_of_millions_is_refused_before_it_is_decoded(unit: str) -> None:
    body = full(unit)
    with memory.traced() as peak:
        with pytest.raises(ExcessiveMessage):
            message_limits.check_structure(body)
        assert peak() < MIB


@pytest.mark.parametrize("unit", ["[],", "{},", '"a",', "0.5,", '{"a":0},'])
def test_the_largest_structure_fits_into_memory(unit: str) -> None:
    count = message_limits.STRUCTURE_MAX // sum(unit.count(one) for one in ",:[{") - 1
    body = ("[" + unit * count + "0]").encode()
    message_limits.check_structure(body)
    with memory.traced() as peak:
        message_limits.check_values(json.loads(body))
        assert peak() < 64 * MIB


@pytest.mark.parametrize(
    "value",
    [
        nested(message_limits.DEPTH_MAX),
        nested(message_limits.DEPTH_MAX, "dict"),
        nested(900),
        {"a": ["x" * (message_limits.TEXT_MAX + 1)]},
        {"k" * (message_limits.KEY_MAX + 1): 1},
        [1 << 1023],
        {"size": -(1 << 2000)},
        {"size": 10**4000},
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_value_that_no_service_sends_is_refused(value: Any) -> None:
    with pytest.raises(ExcessiveMessage):
        message_limits.check_values({"args": value})


@pytest.mark.parametrize("path", sorted(WIRE.glob("*.json")), ids=lambda path: path.stem)
def test_messages_of_cinder_are_far_below_the_limits(path: Path) -> None:
    text = path.read_bytes()
    message_limits.check_structure(text * 5)
    message_limits.check_values([[json.loads(text)]])


@settings(max_examples=examples(1000), deadline=None)
@given(_JSON)
def test_any_value_passes_or_is_refused(value: Any) -> None:
    try:
        message_limits.check_values(value)
    except ExcessiveMessage:
        return
    assert len(json.dumps(value)) < 64 * MIB
