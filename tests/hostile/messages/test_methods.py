# SPDX-License-Identifier: Apache-2.0
"""Messages that name no method of a service: private ones, other namespaces and versions."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.dispatchers import backup_dispatcher, volume_dispatcher
from tests.length import examples
from worker.rpc.dispatch import BadMessage, Dispatcher, UnknownMethod, UnsupportedVersion

VOLUME = "9bec70da-a51a-40a2-8c1b-0750833da930"
OBJECT = {"versioned_object.name": "Volume", "versioned_object.data": {"id": VOLUME}}
DELETE = {"method": "delete_volume", "version": "3.0", "args": {"volume": OBJECT}}

DISPATCHERS = (volume_dispatcher(), backup_dispatcher())


@pytest.fixture(params=DISPATCHERS, ids=["volume", "backup"])
def dispatcher(request: pytest.FixtureRequest) -> Dispatcher:
    made: Dispatcher = request.param
    return made


def test_the_message_without_an_attack_is_an_operation() -> None:
    assert DISPATCHERS[0].dispatch(DELETE, {}).method == "delete_volume"


@pytest.mark.parametrize(
    "method",
    [
        *("__init__", "__class__", "__getattribute__", "__reduce__", "_x", "_service", "dispatch"),
        *("mro", "delete_volume.__globals__", "delete_volume\n", "DELETE_VOLUME", "os:system", ""),
        *(None, 7, True, ["delete_volume"], {"delete_volume": 1}),
    ],
    ids=repr,
)
def test_a_name_that_is_no_method(dispatcher: Dispatcher, method: Any) -> None:
    with pytest.raises(UnknownMethod):
        dispatcher.dispatch({**DELETE, "method": method}, {})


def test_only_marked_methods_with_public_names_can_be_called(dispatcher: Dispatcher) -> None:
    assert dispatcher.methods
    assert [name for name in dispatcher.methods if name.startswith("_")] == []


@pytest.mark.parametrize("namespace", ["baseapi", "other", "../x", ["a"], {"a": 1}, 7])
def test_an_unknown_namespace(namespace: Any) -> None:
    with pytest.raises(UnknownMethod, match="unknown namespace"):
        DISPATCHERS[0].dispatch({**DELETE, "namespace": namespace}, {})


@pytest.mark.parametrize(
    "version",
    [
        *("3.99999", "4.0", "2.0", "-3.0", "3.0.0", "x", "3.x", "0x3.0", "3.0\n4"),
        *(3.99, True, ["3.0"], {"3.0": 1}, "9" * 10_000 + ".0"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_an_unknown_version(version: Any) -> None:
    with pytest.raises(UnsupportedVersion):
        DISPATCHERS[0].dispatch({**DELETE, "version": version}, {})


@pytest.mark.parametrize("args", [[], [OBJECT], "volume", 7, True])
@pytest.mark.parametrize("method", ["delete_volume", "create_backup"])
def test_arguments_that_are_no_mapping(method: str, args: Any) -> None:
    dispatcher = DISPATCHERS[method == "create_backup"]
    with pytest.raises(BadMessage):
        dispatcher.dispatch({"method": method, "version": "2.0", "args": args}, {})
    with pytest.raises(BadMessage):
        dispatcher.dispatch({"method": method, "version": "3.0", "args": args}, {})


_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=40)
    | st.just(OBJECT),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(max_examples=examples(200), deadline=None)
@given(st.data())
def test_any_kinds_of_arguments_give_an_operation_or_a_refusal(data: st.DataObject) -> None:
    dispatcher = data.draw(st.sampled_from(DISPATCHERS))
    method = data.draw(st.sampled_from(sorted(dispatcher.journalled)))
    names = ["volume", "backup", "snapshot", "group", "volume_id", "backup_id", "instance_uuid"]
    args = data.draw(st.dictionaries(st.sampled_from(names), _VALUES))
    version = data.draw(st.sampled_from(["3.0", "2.0", "3.20"]))
    begun = time.thread_time()
    try:
        made = dispatcher.dispatch({"method": method, "version": version, "args": args}, {})
    except BadMessage:
        pass
    else:
        assert made.method == method
    assert time.thread_time() - begun < 5
