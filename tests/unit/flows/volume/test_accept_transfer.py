# SPDX-License-Identifier: Apache-2.0
"""The driver is notified of the new owner, and of the old one after an interruption."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from drivers.interface.errors import VolumeBackendAPIException
from flows import errors
from flows.volume import accept_transfer
from tests.unit.flows.world.doubles import Killed
from tests.unit.flows.world.world import World

NEW = {"volume_id": "v1", "new_user": "u2", "new_project": "p2"}


@pytest.fixture(autouse=True)
def _volume(world: World) -> None:
    world.add_volume(status="awaiting-transfer")


def told(world: World) -> list[tuple[str, str]]:
    return [(call["user"], call["project"]) for call in world.driver.called("accept_transfer")]


@pytest.mark.parametrize("answer", [None, {}])
def test_a_driver_may_have_nothing_to_say(world: World, answer: Any) -> None:
    world.driver.plan["accept_transfer"] = answer

    assert world.call(accept_transfer.flow, **NEW) is None
    assert told(world) == [("u2", "p2")]
    assert world.volume()["project_id"] == "p"


def test_what_it_says_is_stored_and_answered(world: World) -> None:
    world.driver.plan["accept_transfer"] = {"provider_auth": "CHAP u p"}

    assert world.call(accept_transfer.flow, **NEW) == {"provider_auth": "CHAP u p"}
    assert world.volume()["provider_auth"] == "CHAP u p"
    assert world.volume()["status"] == "awaiting-transfer"


@pytest.mark.parametrize(
    "answer",
    [7, {"no_such": 1}, {"provider_id": datetime.datetime(2026, 1, 1)}, {"provider_id": "x" * 300}],
)
def test_what_cannot_be_stored_ends_in_error(world: World, answer: Any) -> None:
    world.driver.plan["accept_transfer"] = answer
    with pytest.raises(errors.DriverReturnedRubbish):
        world.call(accept_transfer.flow, **NEW)

    assert world.volume()["status"] == "error"


def test_a_driver_that_fails_leaves_the_owner(world: World) -> None:
    world.driver.plan["accept_transfer"] = OSError("no")
    with pytest.raises(VolumeBackendAPIException, match="accept_transfer of volume v1"):
        world.call(accept_transfer.flow, **NEW)

    assert told(world) == [("u2", "p2")]
    assert world.volume()["status"] == "awaiting-transfer"


def test_a_driver_without_it_is_asked_for_nothing(world: World) -> None:
    world.driver.plan["accept_transfer"] = NotImplementedError()

    assert world.call(accept_transfer.flow, **NEW) is None


def test_a_driver_that_is_not_up(world: World) -> None:
    world.driver_up = False
    with pytest.raises(errors.DriverNotInitialized):
        world.call(accept_transfer.flow, **NEW)

    assert world.volume()["status"] == "awaiting-transfer"


def test_a_volume_of_another_backend_is_refused(world: World) -> None:
    world.volume()["host"] = "node@other#pool"
    with pytest.raises(errors.Invalid, match="node@other"):
        world.call(accept_transfer.flow, **NEW)

    assert told(world) == []


@pytest.mark.parametrize("owner", ["p", "p2"])
def test_cut_short_the_driver_is_told_whom_the_row_names(world: World, owner: str) -> None:
    world.strike_at(0, "after")
    with pytest.raises(Killed):
        world.run(accept_transfer.flow, **NEW)
    world.revive()
    world.volume()["project_id"] = owner
    outcome = world.run(accept_transfer.flow, resumed=True, revert=True, **NEW)

    assert outcome.state == "failed"
    assert told(world) == [("u2", "p2"), ("u", owner)]
    assert world.volume()["status"] == "awaiting-transfer"
