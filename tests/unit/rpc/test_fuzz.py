# SPDX-License-Identifier: Apache-2.0
"""Whatever a message says, it is an operation of ours or a bad message, and nothing else."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.dispatchers import volume_dispatcher
from tests.length import examples
from worker.rpc import codec
from worker.rpc.dispatch import BadMessage, Dispatcher
from worker.rpc.operation import Operation

METHODS = sorted(volume_dispatcher().journalled)
SAFE = re.compile(r"[0-9A-Za-z][0-9A-Za-z_.-]{0,35}(-delete_volume|-delete_snapshot)?")

texts = st.text(max_size=40) | st.sampled_from(["../x", "'; --", "\x00", "3.0", "true"])
leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts
anything = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3)
)
ids = anything | st.uuids().map(str)
keys = ("name", "namespace", "version", "data", "changes")
objects = st.fixed_dictionaries(
    {"versioned_object.name": st.sampled_from(["Volume", "Snapshot", "X"])},
    optional={
        **{f"versioned_object.{key}": anything for key in keys[1:3]},
        "versioned_object.data": st.dictionaries(st.sampled_from(["id", "volume_id"]), ids)
        | anything,
    },
)
NAMES = ("volume", "snapshot", "volume_id", "vref", "connector", "attachment_id", "new_size")
arguments = st.dictionaries(st.sampled_from(NAMES), objects | anything) | anything


@pytest.fixture(scope="module")
def dispatcher() -> Dispatcher:
    return volume_dispatcher()


@settings(max_examples=examples(400), deadline=None)
@given(
    method=st.sampled_from(METHODS) | anything,
    args=arguments,
    version=st.sampled_from(["3.0", "3.20"]) | anything,
    context=st.dictionaries(st.sampled_from(["user_id", "roles", "request_id"]), anything),
)
def test_a_message_is_an_operation_or_bad(
    dispatcher: Dispatcher, method: Any, args: Any, version: Any, context: dict[str, Any]
) -> None:
    message = {"method": method, "args": args, "version": version, "_unique_id": "u"}
    try:
        operation = dispatcher.dispatch(message, context)
    except BadMessage as error:
        assert str(error)
        return
    if isinstance(operation, Operation):
        for name in (operation.resource[1], *operation.exclusive, *operation.shared):
            assert SAFE.fullmatch(name), name


@settings(max_examples=examples(400), deadline=None)
@given(objects | anything)
def test_what_is_decoded_is_a_value_or_malformed(value: Any) -> None:
    try:
        decoded = codec.decode(value, "x")
    except codec.MalformedObject as error:
        assert str(error)
    else:
        codec.raw(decoded)
