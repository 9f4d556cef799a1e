# SPDX-License-Identifier: Apache-2.0
"""manage_existing and manage_existing_snapshot. Source: seeds; spec/interfaces §3 and §4."""

from __future__ import annotations

from typing import Any

import pytest

from drivers.interface.errors import (
    ManageExistingInvalidReference,
    ManageExistingVolumeTypeMismatch,
)
from flows.engine.flow_run import Outcome
from flows.snapshot import manage as manage_snapshot
from flows.volume import delete, manage
from tests.unit.flows.every_cast.cases import DELETE, LUN, REF
from tests.unit.flows.tables import NOT_SIZES, RAISED, RUBBISH
from tests.unit.flows.world.world import World

MISTAKES = [
    pytest.param(ManageExistingInvalidReference("no such object"), id="invalid reference"),
    pytest.param(ManageExistingVolumeTypeMismatch("is thin"), id="type mismatch"),
    *RAISED,
]


def volume(world: World, ref: Any = None, **columns: Any) -> Outcome:
    world.add_volume(status="managing", made=False, size=0, **columns)
    world.driver.objects.add(LUN)
    return world.run(manage.flow, volume_id="v1", ref=REF["ref"] if ref is None else ref)


def snapshot(world: World, ref: Any = None, **columns: Any) -> Outcome:
    world.add_volume()
    world.add_snapshot(status="creating", made=False, **columns)
    world.driver.objects.add(LUN)
    return world.run(manage_snapshot.flow, snapshot_id="s1", ref=REF["ref"] if ref is None else ref)


class TestVolume:
    def test_it_becomes_available_in_the_size_of_the_object(self, world: World) -> None:
        assert volume(world).state == "done"

        row = world.volume()
        assert (row["status"], row["size"]) == ("available", 2)
        assert row["launched_at"] is not None
        assert world.driver.objects == {"volume-v1"}
        assert world.db.quota.used == {"volumes": 1, "gigabytes": 2, "snapshots": 0}
        assert not world.db.quota.open
        assert world.notified() == ["volume.manage_existing.start", "volume.manage_existing.end"]
        assert world.shown("volume.manage_existing.end").size == 2
        assert world.backend.reports == 1

    def test_the_reference_is_passed_on_untouched_and_the_size_asked_first(
        self, world: World
    ) -> None:
        ref = {"source-name": LUN, "vendor": {"pool": 7}}

        assert volume(world, ref).state == "done"

        methods = [name for name, _ in world.driver.calls]
        assert methods == ["manage_existing_get_size", "manage_existing"]
        assert all(details["ref"] == ref for _, details in world.driver.calls)

    def test_a_note_by_which_the_object_is_found_later(self, world: World) -> None:
        world.driver.plan["manage_existing"] = {"provider_location": "lun/1", "size": 9}

        assert volume(world).state == "done"

        row = world.volume()
        assert (row["provider_location"], row["size"]) == ("lun/1", 2)

    @pytest.mark.parametrize("method", ["manage_existing_get_size", "manage_existing"])
    @pytest.mark.parametrize("raised", MISTAKES)
    def test_whatever_is_raised(self, world: World, method: str, raised: BaseException) -> None:
        world.driver.plan[method] = raised

        assert volume(world).state == "failed"

        row = world.volume()
        assert (row["status"], row["size"]) == ("error_managing", 0)
        assert world.db.quota.used["gigabytes"] == 0
        assert not world.db.quota.open

    @pytest.mark.parametrize("size", NOT_SIZES)
    def test_an_answer_that_is_no_size(self, world: World, size: Any) -> None:
        world.driver.plan["manage_existing_get_size"] = (
            size if size is not None else lambda **_: None
        )

        assert volume(world).state == "failed"

        assert world.volume()["status"] == "error_managing"
        assert not world.driver.called("manage_existing")

    @pytest.mark.parametrize("answer", RUBBISH)
    def test_an_answer_that_is_no_update(self, world: World, answer: Any) -> None:
        world.driver.plan["manage_existing"] = answer

        assert volume(world).state == "failed"

        assert world.volume()["status"] == "error_managing"
        assert not world.db.quota.open

    @pytest.mark.parametrize("ref", ["lun-1", 7, [LUN], {}], ids=repr)
    def test_a_reference_that_is_none(self, world: World, ref: Any) -> None:
        outcome = volume(world, ref)

        assert outcome.failure is not None
        assert outcome.failure.check(ManageExistingInvalidReference)
        assert world.volume()["status"] == "error_managing"
        assert not world.driver.calls

    @pytest.mark.parametrize("name", ["volume-v0", "volume-v0@snapshot-s0"])
    def test_what_is_managed_already(self, world: World, name: str) -> None:
        world.add_volume("v0")
        world.add_snapshot("s0", "v0")

        assert volume(world, {"source-name": name}).state == "failed"

        assert world.volume()["status"] == "error_managing"
        assert not world.driver.calls

    def test_a_driver_that_cannot(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("manage_existing", "manage_existing_get_size"):
            monkeypatch.delattr(type(world.driver), name)

        assert volume(world).state == "failed"

        assert world.volume()["status"] == "error_managing"

    def test_over_quota(self, world: World) -> None:
        assert volume(world, project_id="poor").state == "failed"

        assert world.volume()["status"] == "error_managing"
        assert not world.driver.called("manage_existing")

    def test_larger_than_one_volume_may_be(self, world: World) -> None:
        world.db.quota.largest = 1

        assert volume(world).state == "failed"

        assert world.volume()["status"] == "error_managing"
        assert not world.db.quota.open

    def test_without_quota_none_is_asked(self, world: World) -> None:
        assert volume(world, project_id="poor", use_quota=False).state == "done"

        assert world.notified() == []

    def test_another_backends_volume_is_left(self, world: World) -> None:
        assert volume(world, host="node@other").state == "failed"

        assert world.volume()["status"] == "managing"

    def test_deleting_what_could_not_be_managed_keeps_the_object(self, world: World) -> None:
        world.add_volume(status="error_managing_deleting", size=0)

        assert world.run(delete.flow, volume_id="v1", **DELETE).state == "done"

        assert world.volume()["deleted"]
        assert world.driver.objects == {"volume-v1"}


class TestSnapshot:
    def test_it_becomes_available_in_the_size_of_the_object(self, world: World) -> None:
        assert snapshot(world).state == "done"

        row = world.snapshot()
        assert (row["status"], row["volume_size"], row["progress"]) == ("available", 3, None)
        assert world.driver.objects == {"volume-v1", "snapshot-s1"}
        assert world.db.quota.used == {"volumes": 1, "gigabytes": 4, "snapshots": 1}
        event = "snapshot.manage_existing_snapshot"
        assert world.notified() == [f"{event}.start", f"{event}.end"]
        assert world.shown(f"{event}.end").volume_size == 3

    def test_a_smaller_object_frees_quota(self, world: World) -> None:
        world.driver.plan["manage_existing_snapshot_get_size"] = 1

        assert snapshot(world, volume_size=5).state == "done"

        assert world.db.quota.used["gigabytes"] == 2
        assert world.snapshot()["volume_size"] == 1

    def test_gigabytes_that_do_not_count(self, world: World) -> None:
        from dataclasses import replace

        world.options = replace(world.options, no_snapshot_gb_quota=True)

        assert snapshot(world, project_id="poor").state == "done"

    @pytest.mark.parametrize(
        "method", ["manage_existing_snapshot_get_size", "manage_existing_snapshot"]
    )
    @pytest.mark.parametrize("raised", MISTAKES)
    def test_whatever_is_raised(self, world: World, method: str, raised: BaseException) -> None:
        world.driver.plan[method] = raised

        assert snapshot(world).state == "failed"

        row = world.snapshot()
        assert (row["status"], row["volume_size"]) == ("error", 1)
        assert world.db.quota.used["gigabytes"] == 2
        assert not world.db.quota.open
        assert world.messaged() == []

    @pytest.mark.parametrize("answer", RUBBISH)
    def test_an_answer_that_is_no_update(self, world: World, answer: Any) -> None:
        world.driver.plan["manage_existing_snapshot"] = answer

        assert snapshot(world).state == "failed"

        assert world.snapshot()["status"] == "error"

    @pytest.mark.parametrize("name", ["volume-v1", "volume-v1@snapshot-s2"])
    def test_what_is_managed_already(self, world: World, name: str) -> None:
        world.add_snapshot("s2")

        assert snapshot(world, {"source-name": name}).state == "failed"

        assert world.snapshot()["status"] == "error"
        assert not world.driver.calls

    def test_over_quota(self, world: World) -> None:
        assert snapshot(world, project_id="poor").state == "failed"

        assert world.snapshot()["status"] == "error"
        assert not world.driver.called("manage_existing_snapshot")
