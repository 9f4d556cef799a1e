# SPDX-License-Identifier: Apache-2.0
"""Facts that the bytes of a message show before it is decoded."""

from __future__ import annotations

import json
import re
import types
from typing import Any

import pytest

from tests.unit.rpc import samples
from worker.rpc.received import waiting_body
from worker.rpc.received.waiting_body import WaitingBody, nodes_of

SAMPLES = samples.load()
UUID = re.compile("[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
ID = "3f1c6a52-0d4b-4c6e-9a51-7e7a3b1c2d4e"
OTHER = "3f1c6a52-0d4b-4c6e-9a51-7e7a3b1c2d4f"
CONTEXT = {"_context_user": "u1", "_context_project_id": "p1", "_context_tenant": "t1"}


def enveloped(message: Any) -> str:
    """Return the body that oslo.messaging sends."""
    return json.dumps({"oslo.version": "2.0", "oslo.message": json.dumps(message)})


def body_of(text: Any) -> WaitingBody:
    return WaitingBody(types.SimpleNamespace(body=text))


@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_real_messages_show_their_project_and_all_resources(sample: samples.Sample) -> None:
    body = body_of(enveloped(sample.message))
    named = set(UUID.findall(json.dumps(sample.message.get("args"))))

    assert body.project() == (sample.message.get("_context_project_id") or "")
    assert body.holds("_msg_id") == ("_msg_id" in sample.message)
    nodes = body.nodes()
    assert nodes is not None and (nodes_of(named) or set()) <= set(nodes)


@pytest.mark.parametrize(
    ("message", "project"),
    [
        pytest.param(CONTEXT, "p1", id="of the context"),
        pytest.param({"args": {"metadata": {"_context_project_id": "no"}}, **CONTEXT}, "p1",
                     id="a user's key"),
        pytest.param({**CONTEXT, "_context_user_name": '"_context_project_id": "no"'}, "p1",
                     id="a user's text"),
        pytest.param({**CONTEXT, "_context_user_name": '\\"_context_project_id\\": \\"no\\"'},
                     "p1", id="an escaped text"),
        pytest.param({**CONTEXT, "_context_project_id": None}, "", id="null"),
        pytest.param({**CONTEXT, "_context_project_id": 7}, "", id="a number"),
        pytest.param({"method": "m"}, "", id="no context"),
    ],
)  # fmt: skip
def test_the_project_is_that_of_the_context(message: Any, project: str) -> None:
    assert body_of(enveloped(message)).project() == project


def test_a_message_without_an_envelope_shows_no_project() -> None:
    assert body_of(json.dumps(CONTEXT)).project() == ""


@pytest.mark.parametrize("text", [enveloped({"args": {"volume_id": ID}}), "x" * 2000 + "\ud800"])
def test_a_compressed_body_comes_back(text: str) -> None:
    message = types.SimpleNamespace(body=text + " " * 600)
    body = WaitingBody(message)
    before = body.size
    body.pack()
    assert message.body is None and body.size < before / 2

    nodes = body.nodes()
    body.unpack()
    assert message.body == text + " " * 600 and (nodes == nodes_of([ID])) is (ID in text)


def test_a_short_body_stays_as_it_is() -> None:
    message = types.SimpleNamespace(body="short")
    WaitingBody(message).pack()

    assert message.body == "short"


@pytest.mark.parametrize("text", [b"\xff\xfe", None, 7])
def test_a_body_that_is_no_text_may_hold_anything(text: Any) -> None:
    assert body_of(text).holds("_msg_id")


def test_resources_are_found_in_names_of_locks() -> None:
    body = body_of(enveloped({"args": {"volume_id": ID.upper()}}))

    assert body.nodes() == nodes_of([f"{ID}-delete_volume"]) == nodes_of([ID])
    assert body.nodes() != nodes_of([f"{OTHER}-delete_volume"])
    assert nodes_of([]) == set()


def test_a_resource_without_a_uuid_may_be_named_by_any_message() -> None:
    assert nodes_of([OTHER, "backend"]) is None


def test_thousands_of_names_need_little_memory() -> None:
    tags = [f"-{number:012x}" for number in range(waiting_body.NODES_FEW)]
    few = body_of(enveloped({"args": {"tags": tags}})).nodes()
    assert isinstance(few, set) and len(few) == waiting_body.NODES_FEW

    many = body_of(enveloped({"args": {"tags": [*tags, ID.upper()]}})).nodes()
    assert isinstance(many, waiting_body.ManyNodes) and many.size == 8 * len(many)
    assert set(many) == few | set(nodes_of([ID]) or ())
    assert "000000000007" in many and "0000000000ff" not in many and "f" * 12 not in many
