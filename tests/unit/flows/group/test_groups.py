# SPDX-License-Identifier: Apache-2.0
"""Groups: notifications, arguments of drivers, and resumption by an operator.

Answers of drivers and their effects are tested through the bus
(``tests/functional/operations/groups/test_consistency_groups.py``).
"""

from __future__ import annotations

import logging
from typing import Any

import pytest

from drivers.interface.errors import VolumeBackendAPIException
from drivers.interface.records import Record
from flows import errors
from flows.engine.flow_run import Outcome
from flows.group import create, create_from, create_snapshot, delete, delete_snapshot, update
from tests.unit.flows.every_cast import group_cases as cases
from tests.unit.flows.world.world import World

OLD = "consistencygroup"
CONSISTENT = {
    "id": "t1",
    "name": "gold",
    "group_specs": {"consistent_group_snapshot_enabled": "<is> True"},
}


def run(world: World, factory: Any, kind: str = OLD, **args: Any) -> Outcome:
    return world.run(factory, kind=kind, **{**cases.ARGS, **args})


class TestNotifications:
    def test_of_a_creation(self, world: World) -> None:
        cases.empty(world, "group")
        run(world, create.flow, "group")

        assert world.notified() == ["group.create.start", "group.create.end"]

    def test_of_a_deletion_and_of_each_volume(self, world: World) -> None:
        cases.deleting(world, OLD)
        run(world, delete.flow)

        begin = ["group.delete.start", "volume.delete.start", "volume.delete.start"]
        end = ["volume.delete.end", "volume.delete.end", "group.delete.end"]
        assert world.notified() == begin + end
        assert world.shown("group.delete.end").status == "deleted"

    def test_of_an_update_and_of_the_volumes_in_the_group_before_and_after_it(
        self, world: World
    ) -> None:
        cases.updating(world, OLD)
        run(world, update.flow, add=["v3"], remove=["v1"])

        sent = [(f"{kind}.{args[1]}", args[2].id) for kind, args, _ in world.notifier.calls]
        assert sent == [
            *(("group.update.start", "g1"), ("volume.update.start", "v1")),
            *(("volume.update.start", "v2"), ("group.update.end", "g1")),
            *(("volume.update.end", "v2"), ("volume.update.end", "v3")),
        ]

    @pytest.mark.parametrize(
        ("factory", "arrange", "event"),
        [
            (create_snapshot.flow, cases.creating_snapshot, "create"),
            (delete_snapshot.flow, cases.deleting_snapshot, "delete"),
        ],
    )
    def test_of_a_group_snapshot_and_of_each_snapshot(
        self, world: World, factory: Any, arrange: Any, event: str
    ) -> None:
        arrange(world, OLD)
        run(world, factory, "cgsnapshot", resource_id=cases.SNAPSHOT)

        told = world.notified()
        for moment in ("start", "end"):
            assert told.count(f"group.{event}.{moment}") == 1
            assert told.count(f"snapshot.{event}.{moment}") == 2

    def test_of_a_creation_from_a_source_and_of_each_volume(self, world: World) -> None:
        cases.from_group(world, OLD)
        run(world, create_from.flow, resource_id="g2", snapshot_id=None, source_id="g1")

        told = world.notified()
        for moment in ("start", "end"):
            assert told.count(f"group.create.{moment}") == 1
            assert told.count(f"volume.create.{moment}") == 2

    def test_a_failure_has_no_end(self, world: World) -> None:
        cases.empty(world, OLD)
        world.driver.plan["create_consistencygroup"] = VolumeBackendAPIException("no")
        run(world, create.flow)

        assert world.notified() == ["group.create.start"]


class TestWhatADriverIsShown:
    """Generic groups of a consistent type go by the names of old, for the call only."""

    @pytest.fixture(autouse=True)
    def _consistent(self, world: World) -> None:
        world.db.group_type = CONSISTENT

    def test_a_group_and_its_volumes(self, world: World) -> None:
        cases.deleting(world, "group")
        run(world, delete.flow, "group")

        (call,) = world.driver.called("delete_consistencygroup")
        group: Record = call["group"]
        assert (group.kind, group["id"], group.volume_type_id) == (OLD, "g1", "t1,")
        assert (group.cgsnapshot_id, group.source_cgid) == (None, None)
        assert {volume.consistencygroup_id for volume in call["volumes"]} == {"g1"}
        rows = world.db.volumes.rows.values()
        assert {row["consistencygroup_id"] for row in rows} == {None}

    def test_a_group_snapshot_and_its_snapshots(self, world: World) -> None:
        cases.creating_snapshot(world, "group")
        run(world, create_snapshot.flow, "group_snapshot", resource_id=cases.SNAPSHOT)

        (call,) = world.driver.called("create_cgsnapshot")
        shown: Record = call["cgsnapshot"]
        assert (shown.kind, shown["consistencygroup_id"]) == ("cgsnapshot", "g1")
        assert {snapshot.cgsnapshot_id for snapshot in call["snapshots"]} == {cases.SNAPSHOT}
        assert all(snapshot.context is not None for snapshot in (shown, *call["snapshots"]))

    @pytest.mark.parametrize(
        ("kind", "consistent"),
        [
            ({"name": "default_cgsnapshot_type", "group_specs": {}}, True),
            ({"name": "x", "group_specs": {"consistent_group_snapshot_enabled": "True"}}, False),
            ({"name": "x", "group_specs": {}}, False),
            (None, False),
        ],
    )
    def test_which_types_are_consistent(self, world: World, kind: Any, consistent: bool) -> None:
        world.db.group_type = kind
        cases.deleting(world, "group")
        run(world, delete.flow, "group")

        assert bool(world.driver.called("delete_consistencygroup")) == consistent
        assert bool(world.driver.called("delete_volume")) != consistent

    @pytest.mark.parametrize("arrange", [cases.from_snapshot, cases.from_group])
    def test_sources_stand_in_line_with_their_volumes(self, world: World, arrange: Any) -> None:
        arrange(world, OLD)
        link = "snapshot_id" if arrange is cases.from_snapshot else "source_volid"
        first, second = (world.volume(name)[link] for name in ("v3", "v4"))
        world.volume("v3")[link], world.volume("v4")[link] = second, first
        of = {"snapshot_id": None, "source_id": None}
        of |= {link.replace("source_volid", "source_id"): "g1"}
        if arrange is cases.from_snapshot:
            of["snapshot_id"] = cases.SNAPSHOT
        run(world, create_from.flow, resource_id="g2", **of)

        (call,) = world.driver.called("create_consistencygroup_from_src")
        _, snapshots, _, volumes = call["sources"]
        assert [one.id for one in snapshots or volumes] == [second, first]


def test_errors_that_count_as_a_success_are_in_the_log(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    cases.from_group(world, OLD)
    answer = ({"status": "error"}, [{"id": "v3", "status": "error"}])
    world.driver.plan["create_consistencygroup_from_src"] = answer
    with caplog.at_level(logging.ERROR):
        run(world, create_from.flow, resource_id="g2", snapshot_id=None, source_id="g1")

    (told,) = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert "reported errors: consistencygroup error, v3 error" in told


def test_what_was_handed_in_must_not_be_handed_back(world: World) -> None:
    cases.deleting(world, OLD)

    def back(group: Record, volumes: list[Record]) -> Any:
        return None, volumes

    world.driver.plan["delete_consistencygroup"] = back
    outcome = run(world, delete.flow)

    assert outcome.failure is not None
    assert outcome.failure.check(errors.DriverReturnedRubbish)
    assert world.volume("v1")["status"] == "error"


@pytest.mark.parametrize("status", [None, "creating", "available", "error"])
def test_columns_of_snapshots_are_stored_though_the_group_fails(
    world: World, status: str | None
) -> None:
    cases.creating_snapshot(world, OLD)
    entry = {"id": "s1", "provider_id": "kept", **({"status": status} if status else {})}
    answer = {"status": "error"}, [entry, {"id": "s2", "status": "error"}]
    world.driver.plan["create_cgsnapshot"] = answer
    outcome = run(world, create_snapshot.flow, "cgsnapshot", resource_id=cases.SNAPSHOT)

    assert outcome.state == "failed"
    made = world.snapshot("s1")
    assert (made["provider_id"], made["status"]) == (
        "kept",
        "available" if status == "available" else "error",
    )


@pytest.mark.parametrize("status", [None, "deleting", "available", "error_deleting"])
def test_columns_of_volumes_are_stored_though_their_deletion_fails(
    world: World, status: str | None
) -> None:
    cases.deleting(world, OLD)
    entry = {"id": "v1", "provider_id": "kept", **({"status": status} if status else {})}
    answer = {"status": "error"}, [entry, {"id": "v2", "status": "error"}]
    world.driver.plan["delete_consistencygroup"] = answer
    run(world, delete.flow)

    left = status if status in ("available", "error_deleting") else "error"
    assert (world.volume("v1")["provider_id"], world.volume("v1")["status"]) == ("kept", left)


class TestAgain:
    """A failure's status is taken back when an operator resumes the flow."""

    def test_a_deletion(self, world: World) -> None:
        cases.deleting(world, OLD)
        world.driver.plan["delete_consistencygroup"] = VolumeBackendAPIException("no")
        run(world, delete.flow)
        assert world.volume("v1")["status"] == "error"
        begin = next(iter(delete.flow().iter_nodes()))[0]
        begin.reopen(world.context(), {"kind": OLD, "resource_id": "g1"})

        assert world.db.groups[OLD].rows["g1"]["status"] == "deleting"
        assert {world.volume(name)["status"] for name in ("v1", "v2")} == {"deleting"}

    def test_an_update_is_to_be_asked_for_again(self, world: World) -> None:
        cases.updating(world, OLD)
        begin = next(iter(update.flow().iter_nodes()))[0]
        args = {"kind": OLD, "resource_id": "g1", "add": ["v3"], "remove": ["v1"]}

        with pytest.raises(errors.InvalidInput, match="ask for it again"):
            begin.reopen(world.context(), args)


@pytest.mark.parametrize("kind", ["group", OLD])
def test_image_metadata_that_cannot_be_copied_fails_that_snapshot(world: World, kind: str) -> None:
    cases.creating_snapshot(world, kind)
    world.volume("v1")["bootable"] = True
    world.db.image_metadata_fails = True
    name = "group_snapshot" if kind == "group" else "cgsnapshot"
    outcome = run(world, create_snapshot.flow, name, resource_id=cases.SNAPSHOT)

    assert outcome.state == "failed"
    assert world.db.groups[name].rows[cases.SNAPSHOT]["status"] == "error"
    assert [world.snapshot(one)["status"] for one in ("s1", "s2")] == ["error", "available"]
