# SPDX-License-Identifier: Apache-2.0
"""Reverting a volume to a snapshot: spec/volume-rpc, revert_to_snapshot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from flows import errors
from flows.volume import revert
from tests.unit.flows.tables import RAISED, RUBBISH
from tests.unit.flows.world.world import World

STARTED = ["volume.revert.start", "snapshot.revert.start"]
ENDED = ["volume.revert.end", "snapshot.revert.end"]
SAFETY_MADE = ["snapshot.create.start", "snapshot.create.end"]
SAFETY_GONE = ["snapshot.delete.start", "snapshot.delete.end"]


@pytest.fixture
def back(world: World) -> World:
    world.add_volume(status="reverting", provider_id="original")
    world.add_snapshot(status="restoring")
    return world


def run(world: World, snapshot_id: str = "s1", **how: bool) -> Any:
    return world.run(revert.flow, volume_id="v1", snapshot_id=snapshot_id, **how)


def safeties(world: World) -> list[dict[str, Any]]:
    return [row for row in world.db.snapshots.of() if row["id"] != "s1"]


def assert_failed(world: World, safety: Sequence[str] = SAFETY_MADE[:1]) -> None:
    assert world.volume()["status"] == "error"
    assert world.snapshot()["status"] == "available"
    assert world.notified() == [*STARTED, *safety, *ENDED]


def test_both_are_available_again(back: World) -> None:
    assert run(back).state == "done"

    assert back.volume()["status"] == "available"
    assert back.snapshot()["status"] == "available"
    assert safeties(back) == []
    assert back.driver.objects == {"volume-v1", "snapshot-s1"}
    assert [name for name, _ in back.driver.calls] == [
        *("create_snapshot", "revert_to_snapshot", "delete_snapshot")
    ]
    assert back.notified() == [*STARTED, *SAFETY_MADE, *SAFETY_GONE, *ENDED]


def test_notifications_of_the_safety_snapshot_have_its_status(back: World) -> None:
    run(back)

    sent = [(args[1], args[2]) for _, args, _ in back.notifier.calls]
    shown = [(event, row.status) for event, row in sent if row.id not in ("v1", "s1")]
    assert shown == [
        ("create.start", "creating"),
        ("create.end", "available"),
        ("delete.start", "available"),
        ("delete.end", "deleted"),
    ]


def test_the_safety_snapshot_is_outside_the_quota_and_says_what_it_is(back: World) -> None:
    run(back)

    (call,) = back.driver.called("create_snapshot")
    assert call["snapshot"].use_quota is False
    assert call["snapshot"].display_name == "[revert] volume v1 backup snapshot"
    assert back.db.quota.used["snapshots"] == 1


def test_a_driver_that_wants_none_gets_none(back: World) -> None:
    back.driver.missing.add("safety")

    run(back)

    assert back.driver.called("create_snapshot") == []
    assert back.volume()["status"] == "available"
    assert back.notified() == [*STARTED, *ENDED]


def test_the_same_snapshot_can_be_reverted_to_twice(back: World) -> None:
    run(back)
    back.volume()["status"], back.snapshot()["status"] = "reverting", "restoring"
    again = World(back.driver.directory)
    again.db, again.driver = back.db, back.driver
    again.watched_driver = back.watched_driver

    assert run(again).state == "done"

    assert again.volume()["status"] == "available"


@pytest.mark.parametrize("error", [p for p in RAISED if p.id != "not implemented"])
def test_whatever_the_driver_raises_keeps_the_safety_snapshot(
    back: World, error: BaseException
) -> None:
    back.driver.plan["revert_to_snapshot"] = error

    assert run(back).state == "failed"

    assert_failed(back, SAFETY_MADE)
    (safety,) = safeties(back)
    assert safety["status"] == "available"
    assert f"snapshot-{safety['id']}" in back.driver.objects


@pytest.mark.parametrize("error", RAISED)
def test_a_safety_snapshot_that_fails_leaves_nothing(back: World, error: BaseException) -> None:
    back.driver.plan["create_snapshot"] = error

    run(back)

    assert_failed(back)
    assert safeties(back) == []
    assert back.driver.objects == {"volume-v1", "snapshot-s1"}
    assert back.driver.called("revert_to_snapshot") == []


@pytest.mark.parametrize("answer", RUBBISH)
def test_rubbish_about_the_safety_snapshot(back: World, answer: Any) -> None:
    back.driver.plan["create_snapshot"] = answer

    run(back)

    assert_failed(back)
    assert safeties(back) == []


@pytest.mark.parametrize("error", RAISED)
def test_a_safety_snapshot_that_stays_undoes_nothing(back: World, error: BaseException) -> None:
    back.driver.plan["delete_snapshot"] = error

    assert run(back).state == "done"

    assert back.volume()["status"] == "available"
    (safety,) = safeties(back)
    assert safety["status"] == "available"
    assert back.notified() == [*STARTED, *SAFETY_MADE, *SAFETY_GONE[:1], *ENDED]


@pytest.mark.usefixtures("tidy")
def test_a_driver_that_is_not_up(back: World) -> None:
    back.driver_up = False

    run(back)

    assert_failed(back, [])
    assert safeties(back) == []


class TestBadInput:
    @pytest.mark.parametrize(
        ("columns", "error"),
        [
            pytest.param({"status": "available"}, errors.StatusChanged, id="wrong status"),
            pytest.param({"volume_size": 9}, errors.InvalidSnapshot, id="another size"),
        ],
    )
    def test_of_the_snapshot(self, back: World, columns: Any, error: Any) -> None:
        back.snapshot().update(columns)

        outcome = run(back)

        assert outcome.failure.check(error)
        assert back.volume()["status"] == "error"
        assert back.snapshot()["status"] == "available"
        assert back.driver.calls == []

    @pytest.mark.usefixtures("tidy")
    def test_a_snapshot_that_is_gone(self, back: World) -> None:
        outcome = run(back, "s9")

        assert outcome.failure.check(errors.SnapshotNotFound)
        assert back.volume()["status"] == "error"

    def test_a_snapshot_of_another_volume_keeps_its_status(self, back: World) -> None:
        back.add_volume("v2", status="reverting")
        back.add_snapshot("s2", "v2", status="restoring")

        outcome = run(back, "s2")

        assert outcome.failure.check(errors.InvalidSnapshot)
        assert back.volume()["status"] == "error"
        assert back.snapshot("s2")["status"] == "restoring"

    @pytest.mark.parametrize(
        "columns", [{"status": "available"}, {"host": "node@other#pool"}], ids=["status", "host"]
    )
    @pytest.mark.usefixtures("tidy")
    def test_a_volume_that_is_not_ours_is_left_as_it_is(self, back: World, columns: Any) -> None:
        back.volume().update(columns)
        before = dict(back.volume())

        run(back)

        assert back.volume() == before
        assert back.snapshot()["status"] == "restoring"
        assert back.driver.calls == []
