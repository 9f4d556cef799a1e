# SPDX-License-Identifier: Apache-2.0
"""Notifications of a reimaged volume: spec/volume-rpc, reimage."""

from __future__ import annotations

from typing import Any

import pytest

from drivers.interface.errors import ComputeError, VolumeBackendAPIException
from flows.volume import reimage
from tests.unit.flows.world.world import World

OTHER = "node@other#pool"
ARGS = {"volume_id": "v1", "image_meta": {"id": "i1"}, "snapshot_id": None}


def run(world: World, before: str = "reserved") -> Any:
    world.add_volume(status="downloading", previous_status=before)
    world.add_attachment(instance_uuid="i1", attach_status="reserved")
    return world.run(reimage.flow, **ARGS)


@pytest.mark.parametrize(
    ("source", "columns"),
    [
        pytest.param({"host": OTHER}, {}, id="of another backend"),
        pytest.param({}, {"status": "creating"}, id="being created"),
        pytest.param({}, {"status": "error"}, id="without data"),
    ],
)
def test_a_snapshot_that_cannot_be_read_here_is_refused(
    world: World, source: dict[str, str], columns: dict[str, str]
) -> None:
    world.add_volume("v2", **source)
    world.add_snapshot(volume_id="v2", **columns)
    world.add_volume(status="downloading", previous_status="available")

    assert world.run(reimage.flow, **{**ARGS, "snapshot_id": "s1"}).state == "failed"

    assert world.volume()["status"] == "error"
    assert world.driver.called("create_volume_from_snapshot") == []


def test_an_instance_that_waits_is_told(world: World) -> None:
    assert run(world).state == "done"

    assert world.volume()["status"] == "reserved"
    assert world.compute.told == [("reimaged", "v1", ["i1"])]
    assert world.messaged() == []


@pytest.mark.parametrize("before", ["available", "error"])
def test_nobody_waits_for_one_that_was_not_reserved(world: World, before: str) -> None:
    assert run(world, before).state == "done"

    assert world.volume()["status"] == before
    assert world.compute.told == []


def test_nobody_is_told_of_a_failure(world: World) -> None:
    world.driver.plan["initialize_connection"] = VolumeBackendAPIException("no")

    assert run(world).state == "failed"
    assert world.compute.told == []


def test_news_that_are_not_taken_fail_nothing(world: World) -> None:
    world.compute.error = ComputeError("Nova refused: 404")

    assert run(world).state == "done"
    assert world.volume()["status"] == "reserved"
    assert world.messaged() == [("016", "028")]


def test_nothing_is_reverted_after_the_end_where_an_old_journal_fails_once_more(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(world).state == "done"
    before_finish = next(text for text in world.journal.texts if '"finish"' in text)
    world.journal.put_back(before_finish)
    reverted: list[str] = []

    def fail(_step: Any, ctx: Any, volume_id: str) -> None:
        raise VolumeBackendAPIException(f"{ctx.key} {volume_id}")

    monkeypatch.setattr(reimage.FinishReimage, "execute", fail)
    monkeypatch.setattr(
        reimage.image_copy,
        "remove_leftovers",
        lambda _ctx, volume_id, _result: reverted.append(volume_id),
    )

    assert world.run(reimage.flow, resumed=True, **ARGS).state == "failed"
    assert reverted == []
    assert world.volume()["status"] == "reserved"
    assert world.messaged() == []
