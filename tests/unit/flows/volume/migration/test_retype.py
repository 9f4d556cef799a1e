# SPDX-License-Identifier: Apache-2.0
"""Retyping a volume: spec/volume-rpc, retype."""

from __future__ import annotations

from typing import Any

import pytest

from flows import errors
from flows.engine import flow_run
from flows.volume.migration import retype
from tests.unit.flows.tables import RAISED, RUBBISH
from tests.unit.flows.world import migrations
from tests.unit.flows.world.migrations import RETYPE, RETYPE_AWAY, THERE
from tests.unit.flows.world.remote_services import REFUSED
from tests.unit.flows.world.world import HOST, World


@pytest.fixture
def changing(world: World) -> World:
    migrations.in_place(world)
    return world


def run(world: World, args: dict[str, Any] = RETYPE, **more: Any) -> flow_run.Outcome:
    reserved = {"reservations": [world.db.quota.reserve("gigabytes", 5)]}
    reserved["old_reservations"] = [world.db.quota.reserve("gigabytes", -5)]
    return world.run(retype.flow, **{**args, **reserved, **more})


def assert_done(world: World) -> None:
    row = world.volume()
    assert (row["volume_type_id"], row["status"]) == ("t2", "available")
    assert world.db.quota.open == {}
    assert world.notified() == ["volume.retype"]
    assert world.notifier.calls[0][2] == {"volume_type": "t2"}
    assert world.backend.reports == 1


def assert_unchanged(world: World, migration: str | None = None) -> None:
    row = world.volume()
    assert (row["volume_type_id"], row["status"], row["host"]) == ("t1", "available", HOST)
    assert row["migration_status"] == migration
    assert world.db.quota.open == {}
    assert world.notified() == []
    assert [one["id"] for one in world.db.volumes.of()] == ["v1"]


def why(outcome: flow_run.Outcome, error: type[BaseException]) -> str:
    assert outcome.failure is not None
    assert outcome.failure.check(error), outcome.failure
    return str(outcome.failure.exception_str)


class TestInPlace:
    def test_the_row_the_snapshots_and_the_host(self, changing: World) -> None:
        assert run(changing).state == "done"

        assert_done(changing)
        assert changing.volume()["host"] == migrations.HERE["host"]
        assert changing.volume()["provider_id"] == "changed"
        assert changing.snapshot()["volume_type_id"] == "t2"
        (call,) = changing.driver.called("retype")
        assert (call["new_type"].id, call["host"]) == ("t2", migrations.HERE)
        assert call["diff"]["extra_specs"] == {"a": ["1", "2"]}

    @pytest.mark.parametrize("answer", [True, (True, None), (True, {})])
    def test_answers_that_mean_done(self, changing: World, answer: Any) -> None:
        changing.driver.plan["retype"] = answer
        run(changing)

        assert_done(changing)

    def test_equal_types_ask_nobody_and_move_nothing(self, world: World) -> None:
        migrations.equal(world)
        run(world, RETYPE_AWAY)

        assert_done(world)
        assert world.volume()["host"] == HOST
        assert world.driver.calls == []

    @pytest.mark.parametrize("error", RAISED)
    def test_what_it_raises_is_not_retyped(self, changing: World, error: BaseException) -> None:
        changing.driver.plan["retype"] = error
        outcome = run(changing, migration_policy="never")

        assert outcome.state == "failed"
        assert_unchanged(changing)

    @pytest.mark.parametrize("answer", [*RUBBISH, None, 1, (1, None), (True, {"size": 9})])
    def test_rubbish_is_not_retyped(self, changing: World, answer: Any) -> None:
        changing.driver.plan["retype"] = answer if answer is not True else (True, [])
        outcome = run(changing, migration_policy="never")

        assert outcome.state == "failed"
        assert_unchanged(changing)

    def test_columns_that_are_rubbish(self, changing: World) -> None:
        changing.driver.plan["retype"] = (True, {"no_such_column": 1})
        why(run(changing), errors.DriverReturnedRubbish)

        assert_unchanged(changing)

    @pytest.mark.parametrize(
        ("wanted", "told", "status"),
        [
            ("<is> True", None, "enabled"),
            ("<is> False", None, "disabled"),
            (None, None, "disabled"),
            ("<is> True", "enabling", "enabling"),
        ],
    )
    def test_replication(
        self, changing: World, wanted: str | None, told: str | None, status: str
    ) -> None:
        specs = changing.db.types["t2"]["extra_specs"]
        changing.db.types["t1"]["extra_specs"]["replication_enabled"] = "other"
        if wanted:
            specs["replication_enabled"] = wanted
        update = {"replication_status": told} if told else {}
        changing.driver.plan["retype"] = (True, update)
        run(changing)

        assert changing.volume()["replication_status"] == status

    @pytest.mark.parametrize("before", ["in-use", "available"])
    def test_the_status_is_the_one_before(self, world: World, before: str) -> None:
        migrations.in_place(world)
        world.volume()["previous_status"] = before
        run(world)

        assert world.volume()["status"] == before

    @pytest.mark.parametrize(("attached", "status"), [(True, "in-use"), (False, "available")])
    def test_where_nobody_noted_it(self, changing: World, attached: bool, status: str) -> None:
        changing.volume()["previous_status"] = None
        if attached:
            changing.add_attachment()
        run(changing)

        assert changing.volume()["status"] == status


class TestRefused:
    def test_a_driver_that_is_not_up(self, changing: World) -> None:
        changing.driver_up = False
        why(run(changing), errors.DriverNotInitialized)

        assert_unchanged(changing)

    def test_one_that_is_not_up_for_equal_types(self, world: World) -> None:
        migrations.equal(world)
        world.driver_up = False
        why(run(world), errors.DriverNotInitialized)

        assert_unchanged(world)

    @pytest.mark.parametrize("status", ["available", "deleting", "error"])
    def test_a_volume_that_is_not_being_retyped(self, changing: World, status: str) -> None:
        changing.volume()["status"] = status
        why(run(changing), errors.StatusChanged)

        assert changing.volume()["status"] == status
        assert changing.db.quota.open == {}

    def test_a_type_that_is_gone(self, changing: World) -> None:
        why(run(changing, new_type_id="gone"), errors.VolumeTypeNotFound)

        assert_unchanged(changing)

    def test_it_is_not_tried_again(self, changing: World) -> None:
        with pytest.raises(errors.InvalidInput, match="given back"):
            retype.BeginRetype().reopen(changing.context(), {"volume_id": "v1"})


class TestByMigration:
    @pytest.fixture
    def leaving(self, world: World) -> World:
        migrations.retyping(world)
        return world

    def test_the_copy_has_the_new_type(self, leaving: World) -> None:
        assert run(leaving, RETYPE_AWAY).state == "done"

        assert_done(leaving)
        row = leaving.volume()
        assert (row["host"], row["migration_status"]) == (THERE, "success")
        assert leaving.driver.called("retype") == []
        assert leaving.driver.called("migrate_volume") == []

    def test_on_the_same_backend_nobody_is_asked_to_connect(self, leaving: World) -> None:
        assert run(leaving).state == "done"

        assert_done(leaving)
        assert leaving.volume()["host"] == migrations.HERE["host"]
        assert leaving.elsewhere.calls == ["create", "update_migrated", "delete"]
        assert leaving.driver.objects == {f"volume-{leaving.volume()['_name_id']}"}

    def test_another_encryption_is_not_asked_of_the_driver(self, leaving: World) -> None:
        leaving.db.types["t2"]["encryption"] = {"cipher": "aes"}
        text = why(run(leaving), errors.VolumeMigrationFailed)

        assert "it has no cipher or key_size" in text
        assert leaving.driver.called("retype") == []
        assert_unchanged(leaving, "error")

    def test_one_after_another_migration(self, leaving: World) -> None:
        leaving.volume()["migration_status"] = "success"
        run(leaving, RETYPE_AWAY)

        assert_done(leaving)
        assert leaving.volume()["host"] == THERE

    def test_a_failure_after_another_migration(self, leaving: World) -> None:
        leaving.volume()["migration_status"] = "success"
        run(leaving, migration_policy="never")

        assert_unchanged(leaving, "success")

    def test_never(self, leaving: World) -> None:
        text = why(
            run(leaving, RETYPE_AWAY, migration_policy="never"), errors.VolumeMigrationFailed
        )

        assert "never" in text
        assert_unchanged(leaving)

    def test_with_snapshots(self, leaving: World) -> None:
        leaving.add_snapshot()
        why(run(leaving, RETYPE_AWAY), errors.InvalidVolume)

        assert_unchanged(leaving)

    @pytest.mark.parametrize("status", ["enabled", "error", "failed-over"])
    def test_replicated(self, leaving: World, status: str) -> None:
        leaving.volume()["replication_status"] = status
        why(run(leaving, RETYPE_AWAY), errors.InvalidVolume)

        assert_unchanged(leaving)

    @pytest.mark.parametrize("status", ["disabled", "not-capable"])
    def test_not_replicated(self, leaving: World, status: str) -> None:
        leaving.volume()["replication_status"] = status
        run(leaving, RETYPE_AWAY)

        assert_done(leaving)

    @pytest.mark.parametrize("method", ["create", "connect"])
    def test_a_migration_that_fails(self, leaving: World, method: str) -> None:
        leaving.elsewhere.plan[method] = "error" if method == "create" else REFUSED
        run(leaving, RETYPE_AWAY)

        assert_unchanged(leaving, "error")
