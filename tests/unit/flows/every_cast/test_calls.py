# SPDX-License-Identifier: Apache-2.0
"""Every call, while the database is away for a moment and with each task broken once."""

from __future__ import annotations

import datetime
import functools
import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from drivers.interface.records import Record
from flows.errors import Unavailable
from flows.factories import Factory
from flows.volume.connections import attach, attachment, connection, detach
from tests.unit.flows.world.world import World

CONNECTOR = {"initiator": "iqn.1", "host": "node"}
INSTANCE = "5f0a7c11-2f9c-4f3e-9a3c-0d4c3a2b1c00"
ATTACH = {"instance_uuid": INSTANCE, "host_name": None, "mountpoint": "/dev/vdb", "mode": "rw"}


@dataclass(frozen=True)
class Call:
    """One call, and the rows that are there when it arrives."""

    name: str
    factory: Factory
    arrange: Callable[[World], None]
    args: Mapping[str, Any]

    def run(self, world: World) -> Any:
        """Return the answer in a form that compares."""
        answer = world.call(self.factory, volume_id="v1", **self.args)
        return without_times(answer) if isinstance(answer, Record) else answer


def _free(world: World) -> None:
    world.add_volume(status="attaching")
    world.driver.plan["create_export"] = {"provider_location": "portal"}


def _reserved(world: World) -> None:
    world.add_volume(status="reserved", attach_status="reserved")
    world.add_attachment(attach_status="reserved", attach_mode="null")


def _used(world: World) -> None:
    world.add_volume(status="in-use", attach_status="attached")
    world.add_attachment(connector=json.dumps(CONNECTOR))
    world.driver.exports.add("volume-v1")


CALLS = [
    Call("initialize", connection.initialize, _free, {"connector": CONNECTOR}),
    Call("terminate", connection.terminate_flow, _used, {"connector": None, "force": False}),
    Call("remove-export", connection.remove_export, _used, {}),
    Call("attach", attach.attach, _free, ATTACH),
    Call("detach", detach.detach, _used, {"attachment_id": None}),
    Call("update", attachment.update, _reserved, {"connector": CONNECTOR, "attachment_id": "a1"}),
    Call("delete", attachment.delete, _used, {"attachment_id": "a1"}),
]
BY_NAME = pytest.mark.parametrize("call", CALLS, ids=lambda call: call.name)


def without_times(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the comparable part of two runs: no times, no random ids."""
    kept = {k: v for k, v in row.items() if not isinstance(v, datetime.datetime)}
    return {**kept, "id": len(kept["id"])}


def facts(world: World) -> Any:
    attachments = [without_times(row) for row in world.db.attachments.rows.values()]
    return without_times(world.volume()), attachments, world.db.pairs, world.driver.exports


@BY_NAME
def test_a_database_that_is_away_for_a_moment_changes_nothing(call: Call, tmp_path: Path) -> None:
    alone = World(tmp_path)
    call.arrange(alone)
    answer = call.run(alone)
    for moment, number in itertools.product(("before", "after"), range(len(alone.effects))):
        world = World(tmp_path)
        call.arrange(world)
        world.strike_at(number, moment, Unavailable)

        assert call.run(world) == answer
        assert facts(world) == facts(alone)


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        pytest.param(call, type(step), id=f"{call.name}-{step.name}")
        for call in CALLS
        for step, _ in call.factory().iter_nodes()
    ],
)
def test_a_task_that_breaks_is_told_and_leaves_no_export(
    call: Call, kind: Any, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = kind.execute

    @functools.wraps(whole)  # taskflow reads the signature
    def broken(self: Any, **kwargs: Any) -> Any:
        whole(self, **kwargs)
        raise RuntimeError("broken")

    call.arrange(world)
    monkeypatch.setattr(kind, "execute", broken)

    with pytest.raises(RuntimeError, match="broken"):
        call.run(world)
    if call.arrange is not _used:
        assert world.driver.exports == set()
