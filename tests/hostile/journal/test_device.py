# SPDX-License-Identifier: Apache-2.0
"""The device of a backup in the journal: its fields are checked before its flow runs."""

from __future__ import annotations

import json
from typing import Any

import pytest
from taskflow import states
from taskflow.persistence.models import FlowDetail, TaskDetail

from flows.backup import continue_
from flows.factories import path_of
from flows.volume.data import backup_device
from worker.journal.entries.stored_operation import operation_of
from worker.journal.errors import UnreadableEntry
from worker.rpc.operation import Operation

ID = "9bec70da-a51a-40a2-8c1b-0750833da930"
GOOD = {"kind": "snapshot", "id": ID, "secure": True}
BAD: tuple[Any, ...] = (
    {},
    {"kind": "volume"},
    {**GOOD, "kind": "backup"},
    {**GOOD, "kind": ["volume"]},
    {**GOOD, "kind": None},
    {**GOOD, "id": None},
    {**GOOD, "id": [ID]},
    {**GOOD, "id": {"like": "%"}},
    {**GOOD, "secure": "no"},
    {**GOOD, "secure": None},
    [GOOD],
    None,
    "volume",
)


def entry(factory: Any, args: dict[str, Any]) -> FlowDetail:
    operation = Operation(factory, ("backup", ID), {"backup_id": ID, **args}, method="m")
    detail = FlowDetail("a flow", ID)
    detail.meta = json.loads(json.dumps(operation.to_meta()))
    assert detail.meta["factory"] == path_of(factory)
    return detail


def chosen(device: Any, state: str = states.SUCCESS) -> FlowDetail:
    detail = entry(backup_device.flow, {"async_call": True})
    task = TaskDetail("choose", ID)
    task.state, task.results = state, device
    detail.add(task)
    return detail


def test_a_device_as_we_write_it_is_read() -> None:
    operation = operation_of(entry(continue_.flow, {"device": GOOD}))

    assert operation.args["device"] == GOOD
    assert operation_of(chosen(GOOD)).args["async_call"] is True
    assert operation_of(chosen(None, states.PENDING)).args["async_call"] is True


@pytest.mark.parametrize("device", BAD, ids=str)
def test_an_argument_with_other_fields_is_not_read(device: Any) -> None:
    with pytest.raises(UnreadableEntry, match="device is of a wrong kind"):
        operation_of(entry(continue_.flow, {"device": device}))


@pytest.mark.parametrize("device", BAD, ids=str)
def test_a_result_with_other_fields_is_not_read(device: Any) -> None:
    with pytest.raises(UnreadableEntry, match="the result of choose is of a wrong kind"):
        operation_of(chosen(device))
