# SPDX-License-Identifier: Apache-2.0
"""Migrating a volume: spec/volume-rpc, migrate_volume and migrate_volume_completion."""

from __future__ import annotations

import os
from typing import Any

import pytest

from drivers.blockio import BlockFile
from drivers.interface.errors import ComputeError, VolumeBackendAPIException
from flows import errors, factories
from flows.context import Options
from flows.engine import flow_run
from flows.errors import ProcessStopping
from flows.volume.migration import complete, migrate, retype, update_migrated
from tests.unit.flows.tables import RAISED
from tests.unit.flows.world import migrations, records
from tests.unit.flows.world.doubles import Killed
from tests.unit.flows.world.migrations import COMPLETION, MIGRATE, THERE
from tests.unit.flows.world.remote_services import REFUSED, ROOM
from tests.unit.flows.world.world import HOST, World

LOCKED = {"status": "maintenance", "previous_status": "available"}
FREE = {"status": "available", "previous_status": "available"}


@pytest.fixture
def leaving(world: World) -> World:
    migrations.starting(world)
    return world


def run(world: World, **args: Any) -> flow_run.Outcome:
    return world.run(migrate.flow, **{**MIGRATE, **args})


def copies(world: World) -> list[dict[str, Any]]:
    return [row for row in world.db.volumes.of() if row["id"] != "v1"]


def assert_moved(world: World) -> None:
    row = world.volume()
    found = (row["host"], row["migration_status"], row["status"])
    assert found == (THERE, "success", "available")
    assert copies(world) == []


def assert_stayed(world: World, status: str = "available") -> None:
    row = world.volume()
    assert (row["host"], row["migration_status"], row["status"]) == (HOST, "error", status)
    assert copies(world) == []
    assert world.driver.objects == {"volume-v1"}
    assert world.elsewhere.objects == world.elsewhere.exports == set()


class TestBegin:
    @pytest.mark.parametrize("found", [None, "migrating", "success", "error", "completing"])
    def test_a_volume_that_is_not_starting_is_left_as_it_is(
        self, world: World, found: str | None
    ) -> None:
        migrations.starting(world, migration_status=found)

        assert run(world).state == "failed"
        assert world.volume()["migration_status"] == found
        assert world.volume()["status"] == "maintenance"
        assert world.driver.calls == []

    def test_another_backends_volume_is_left_as_it_is(self, world: World) -> None:
        migrations.starting(world, host="node@other#pool")

        assert run(world).state == "failed"
        assert world.volume()["migration_status"] == "starting"

    def test_a_driver_that_is_not_up_ends_in_error(self, leaving: World) -> None:
        leaving.driver_up = False

        run(leaving)
        assert_stayed(leaving)


class TestByDriver:
    def test_it_is_told_where_and_asked_while_migrating(self, leaving: World) -> None:
        migrations.moves_by_itself(leaving)
        move = leaving.driver.plan["migrate_volume"]

        def asked(volume: Any, host: Any) -> Any:
            assert leaving.volume()["migration_status"] == "migrating"
            assert host == migrations.TO
            return move(volume, host)

        leaving.driver.plan["migrate_volume"] = asked

        assert run(leaving).state == "done"
        assert_moved(leaving)
        row = leaving.volume()
        assert (row["availability_zone"], row["provider_id"]) == ("far", "moved")
        assert row["service_uuid"] == f"service of {THERE}"
        assert row["previous_status"] == "maintenance"
        assert leaving.elsewhere.calls == []

    @pytest.mark.parametrize("before", [LOCKED, FREE])
    @pytest.mark.parametrize("error", RAISED)
    def test_what_it_raises(
        self, world: World, error: BaseException, before: dict[str, str]
    ) -> None:
        migrations.starting(world, **before)
        world.driver.plan["migrate_volume"] = error
        outcome = run(world)

        if isinstance(error, NotImplementedError):
            assert outcome.state == "done"
            assert_moved(world)
        else:
            assert_stayed(world)

    @pytest.mark.parametrize(
        "answer", [None, True, (True,), ("yes", None), (True, None, 1), (True, {"no_column": 1})]
    )
    def test_rubbish(self, leaving: World, answer: Any) -> None:
        leaving.driver.plan["migrate_volume"] = answer
        outcome = run(leaving)

        assert outcome.failure is not None
        assert outcome.failure.check(errors.DriverReturnedRubbish)
        assert_stayed(leaving)

    @pytest.mark.parametrize(
        ("old", "new", "asked"),
        [
            ({}, {}, True),
            ({"extra_specs": {"volume_backend_name": "a"}}, {}, True),
            ({}, {"extra_specs": {"RESKEY:availability_zones": "z"}}, True),
            ({"extra_specs": {"volume_backend_name": "a", "x": "1"}}, {}, False),
            ({}, {"qos_specs": {"consumer": "front-end"}}, False),
        ],
    )
    def test_asked_where_the_types_say_the_same(
        self, leaving: World, old: dict[str, Any], new: dict[str, Any], asked: bool
    ) -> None:
        none: dict[str, Any] = {"extra_specs": {}}
        leaving.db.types |= {"t1": none | old, "t2": none | new}
        run(leaving, new_type_id="t2")

        assert bool(leaving.driver.called("migrate_volume")) == asked
        assert_moved(leaving)
        assert leaving.volume()["volume_type_id"] == "t2"

    def test_not_asked_where_a_copy_is_wanted(self, leaving: World) -> None:
        run(leaving, force_host_copy=True)

        assert leaving.driver.called("migrate_volume") == []
        assert_moved(leaving)


class TestTarget:
    def test_its_row(self, leaving: World) -> None:
        leaving.db.volumes.rows["v1"].update(
            display_name="mine", provider_location="here", encryption_key_id="key", group_id="g"
        )
        leaving.elsewhere.plan["create"] = "creating"
        seen: list[dict[str, Any]] = []
        leaving.options = Options(migration_create_timeout=0)
        leaving.elsewhere.plan["connect"] = REFUSED
        create = leaving.elsewhere.create

        def note(request: Any, volume: Any) -> None:
            seen.append(dict(leaving.db.volumes.rows[volume.id]))
            create(request, volume)

        leaving.elsewhere.create = note  # type: ignore[method-assign]
        run(leaving)

        (row,) = seen
        assert row["migration_status"] == "target:v1"
        assert (row["host"], row["status"], row["use_quota"]) == (THERE, "creating", False)
        assert (row["size"], row["volume_type_id"], row["display_name"]) == (1, "t1", "mine")
        assert (row["project_id"], row["encryption_key_id"]) == ("p", "key")
        # With these columns the driver would delete the volume itself.
        assert row["provider_location"] is row["group_id"] is row["_name_id"] is None

    @pytest.mark.parametrize("status", ["error", "creating"])
    def test_one_that_fails_or_takes_too_long(self, leaving: World, status: str) -> None:
        leaving.elsewhere.plan["create"] = status
        leaving.options = Options(migration_create_timeout=0)
        outcome = run(leaving)

        assert outcome.failure is not None
        assert outcome.failure.check(errors.VolumeMigrationFailed)
        assert_stayed(leaving)
        assert "delete" not in leaving.elsewhere.calls  # no instance has it

    def test_where_nobody_serves(self, leaving: World) -> None:
        run(leaving, host={"host": "node@nowhere#pool"})

        assert_stayed(leaving)

    def test_the_origin_is_noted_when_it_is_there(self, world: World) -> None:
        world.add_volume("v0")
        migrations.starting(world, source_volid="v0")
        create = world.elsewhere.create

        def empty(request: Any, volume: Any) -> None:
            assert volume.source_volid is None
            create(request, volume)

        world.elsewhere.create = empty  # type: ignore[method-assign]
        assert run(world).state == "done"

    def test_a_stop_interrupts_the_wait_and_it_goes_on(
        self, leaving: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        leaving.elsewhere.plan["create"] = "creating"
        leaving.stopping.set()
        with pytest.raises(ProcessStopping):
            run(leaving)

        leaving.stopping.clear()
        (copy,) = copies(leaving)
        copy["status"] = "available"
        leaving.elsewhere.add(copy)
        assert run(leaving, resumed=True).state == "done"
        assert_moved(leaving)


class TestCopy:
    def test_the_data(self, leaving: World) -> None:
        data = os.urandom(1000) + bytes(8000) + os.urandom(1000)
        (leaving.driver.directory / "volume-v1").write_bytes(data)
        run(leaving)

        copy = leaving.elsewhere.path(leaving.volume()).read_bytes()
        assert copy == data + bytes(ROOM - len(data))

    def test_both_drivers_are_told(self, leaving: World) -> None:
        run(leaving)

        methods = [name for name, _ in leaving.driver.calls]
        assert methods == [
            *("migrate_volume", "before_volume_copy", "validate_connector", "create_export"),
            *("initialize_connection", "terminate_connection", "remove_export"),
            "after_volume_copy",
        ]
        told = [*leaving.driver.called("before_volume_copy")]
        assert told[0]["remote"] == "dest"
        assert leaving.elsewhere.calls == [
            *("create", "connect", "disconnect", "unexport_cast", "update_migrated", "delete")
        ]

    def test_what_has_no_room_is_not_copied(self, leaving: World) -> None:
        (leaving.driver.directory / "volume-v1").write_bytes(bytes(ROOM) + b"more")
        outcome = run(leaving)

        assert outcome.failure is not None
        assert "room" in str(outcome.failure.exception_str)
        assert_stayed(leaving)

    @pytest.mark.parametrize("method", ["connect", "disconnect"])
    def test_a_copy_that_is_not_reached(self, leaving: World, method: str) -> None:
        leaving.elsewhere.plan[method] = REFUSED
        run(leaving)

        assert leaving.volume()["migration_status"] == "error"
        assert copies(leaving) == []
        assert leaving.driver.exports == set()

    @pytest.mark.parametrize(
        "method",
        [
            *("before_volume_copy", "after_volume_copy", "validate_connector", "create_export"),
            *("initialize_connection", "terminate_connection"),
        ],
    )
    def test_a_driver_that_fails(self, leaving: World, method: str) -> None:
        leaving.driver.plan[method] = VolumeBackendAPIException("no")
        run(leaving)

        assert_stayed(leaving)
        assert leaving.driver.exports == set()

    @pytest.mark.parametrize("change", [{"status": "in-use"}, {"size": 2}])
    def test_what_was_changed_meanwhile_is_not_moved(
        self, leaving: World, change: dict[str, Any]
    ) -> None:
        leaving.driver.plan["after_volume_copy"] = lambda **_: leaving.volume().update(change)
        outcome = run(leaving)

        assert outcome.failure is not None
        assert "was used while it was copied" in str(outcome.failure.exception_str)
        assert leaving.volume()["migration_status"] == "error"
        assert copies(leaving) == []

    def test_nor_what_was_attached_for_a_moment(self, leaving: World) -> None:
        def attach(**_: Any) -> None:
            leaving.add_attachment(deleted=True)

        leaving.driver.plan["after_volume_copy"] = attach
        run(leaving)

        assert_stayed(leaving)

    def test_one_with_snapshots_is_not_copied(self, leaving: World) -> None:
        leaving.add_snapshot(made=False)
        outcome = run(leaving)

        assert outcome.failure is not None
        assert "1 snapshots, which would stay behind" in str(outcome.failure.exception_str)
        assert_stayed(leaving)

    def test_an_encryption_without_a_cipher_is_not_made(self, leaving: World) -> None:
        leaving.db.types["t2"] = {"encryption": {"provider": "luks"}}
        outcome = run(leaving, new_type_id="t2")

        assert outcome.failure is not None
        assert "it has no cipher or key_size" in str(outcome.failure.exception_str)
        assert_stayed(leaving)

    def test_a_stop_interrupts_it_and_it_goes_on(self, leaving: World) -> None:
        def stop(**_: Any) -> Any:
            leaving.stopping.set()

        leaving.driver.plan["before_volume_copy"] = stop
        with pytest.raises(ProcessStopping):
            run(leaving)
        leaving.stopping.clear()
        del leaving.driver.plan["before_volume_copy"]

        assert run(leaving, resumed=True).state == "done"
        assert_moved(leaving)

    def test_a_second_try_does_not_write_what_is_there(
        self, leaving: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        data = os.urandom(3000)
        (leaving.driver.directory / "volume-v1").write_bytes(data)
        leaving.driver.plan["after_volume_copy"] = ProcessStopping("killed")
        with pytest.raises(ProcessStopping):
            run(leaving)
        del leaving.driver.plan["after_volume_copy"]
        written: list[int] = []
        monkeypatch.setattr(BlockFile, "write", lambda _file, at, _data: written.append(at))

        assert run(leaving, resumed=True).state == "done"
        assert written == []


class TestEnd:
    def test_a_refusal_keeps_both_and_gives_the_names_back(self, leaving: World) -> None:
        leaving.elsewhere.plan["update_migrated"] = REFUSED
        outcome = run(leaving)

        assert outcome.failure is not None
        assert "is kept" in str(outcome.failure.exception_str)
        (copy,) = copies(leaving)
        assert (copy["status"], copy["migration_status"]) == ("available", None)
        assert leaving.volume()["_name_id"] is None
        assert leaving.volume()["migration_status"] == "error"
        assert leaving.driver.objects == {"volume-v1"}

    def test_what_cannot_be_told_to_be_deleted_is_told_later(self, leaving: World) -> None:
        tries = [errors.ServiceUnreachable("away"), errors.ServiceUnreachable("away"), None]
        delete = leaving.elsewhere.delete

        def later(request: Any, source: Any) -> None:
            if (error := tries.pop(0)) is not None:
                raise error
            delete(request, source)

        leaving.elsewhere.delete = later  # type: ignore[method-assign]

        assert run(leaving).state == "done"
        assert_moved(leaving)
        assert tries == []

    def test_one_that_is_cancelled_and_killed_when_it_has_moved_leaves_no_former_object(
        self, leaving: World
    ) -> None:
        def cancel(_detail: Any, step: str, state: str) -> None:
            if (step, state) == ("swap", "SUCCESS"):
                running.cancel(errors.OperationInterrupted("an operator cancels it"))

        leaving.elsewhere.plan["delete"] = Killed("while the former object is deleted")
        journal, ctx = leaving.journal, leaving.context()
        running = flow_run.FlowRun(migrate.flow, MIGRATE, ctx, journal.load(), journal, cancel)
        with pytest.raises(Killed):
            running.run()
        leaving.elsewhere.plan.clear()

        assert run(leaving, resumed=True).state == "failed"
        assert_moved(leaving)

    def test_a_failed_migration_can_be_tried_again(self, leaving: World) -> None:
        leaving.elsewhere.plan["connect"] = REFUSED
        run(leaving)
        leaving.elsewhere.plan.clear()
        migrate.BeginMigrate().reopen(leaving.context(), {"volume_id": "v1"})

        assert leaving.volume()["migration_status"] == "starting"


class TestCompletion:
    def complete(self, world: World, factory: factories.Factory, **args: Any) -> Any:
        return world.call(factory, **{**COMPLETION, **args})

    @pytest.mark.parametrize("found", ["starting", "migrating", "error"])
    def test_it_answers_the_volumes_id(self, world: World, found: str) -> None:
        migrations.copied(world, migration_status=found)

        assert self.complete(world, complete.completion) == "v1"
        assert_moved(world)

    def test_one_of_an_old_journal_is_not_begun_after_it_has_failed(self, world: World) -> None:
        migrations.copied(world, migration_status="error")
        before = dict(world.volume())

        assert world.run(complete.completion, resumed=True, **COMPLETION).state == "done"
        assert world.volume() == before

    def test_a_driver_that_is_not_up(self, world: World) -> None:
        migrations.copied(world)
        world.driver_up = False
        with pytest.raises(errors.DriverNotInitialized):
            self.complete(world, complete.completion)

        assert world.volume()["migration_status"] == "error"
        assert world.volume()["status"] == "available"

    @pytest.mark.parametrize("found", [None, "success"])
    def test_a_volume_that_is_not_migrated(self, world: World, found: str | None) -> None:
        migrations.copied(world, migration_status=found)
        with pytest.raises(errors.InvalidVolume):
            self.complete(world, complete.completion)

        assert world.volume()["status"] == "maintenance"

    def test_an_attachment_that_stays_keeps_nobody(self, world: World) -> None:
        migrations.swapped_by_nova(world)
        world.driver.plan["detach_volume"] = VolumeBackendAPIException("no")

        assert self.complete(world, complete.completion) == "v1"
        assert world.volume()["status"] == "in-use"
        assert len(world.db.attachments.of(volume_id="v1")) == 1

    def test_an_attachment_that_is_not_made_anew(self, world: World) -> None:
        migrations.swapped_by_nova(world)
        world.elsewhere.plan["attach"] = REFUSED

        assert self.complete(world, complete.completion) == "v1"
        assert world.volume()["migration_status"] == "success"

    def test_an_error_deletes_the_copy(self, world: World) -> None:
        migrations.copied(world, status="in-use", previous_status="in-use")

        assert self.complete(world, complete.abandonment) == "v1"
        assert_stayed(world, "in-use")


class TestAttached:
    """An instance writes to the volume: the compute service copies and swaps it."""

    @pytest.fixture
    def attached(self, world: World) -> World:
        migrations.attached(world)
        return world

    def test_it_is_handed_over(self, attached: World) -> None:
        assert run(attached).state == "done"

        (copy,) = copies(attached)
        assert (copy["host"], copy["migration_status"]) == (THERE, "target:v1")
        row = attached.volume()
        assert (row["host"], row["status"]) == (HOST, "in-use")
        assert row["migration_status"] == "migrating"
        assert attached.compute.swaps == [("i1", "v1")]
        assert {"connect", "delete", "update_migrated"}.isdisjoint(attached.elsewhere.calls)
        for method in ("migrate_volume", "before_volume_copy"):
            assert attached.driver.called(method) == []

    def test_what_it_completes_is_moved(self, attached: World) -> None:
        run(attached)
        (copy,) = copies(attached)
        copy["status"] = "in-use"
        world, args = attached, {"volume_id": "v1", "spare_id": copy["id"]}

        assert world.call(complete.completion, **args) == "v1"
        row = world.volume()
        assert (row["host"], row["migration_status"], row["status"]) == (THERE, "success", "in-use")
        assert copies(world) == []

    def test_one_that_it_refuses_stays(self, attached: World) -> None:
        attached.compute.error = ComputeError("Nova refused: 409")
        outcome = run(attached)

        assert outcome.failure is not None
        assert "not asked to swap volume v1: Nova refused" in str(outcome.failure.exception_str)
        assert_stayed(attached, "in-use")

    def test_one_that_it_takes_is_left_to_it_though_its_answer_is_lost(
        self, attached: World
    ) -> None:
        attached.compute.error, attached.compute.loses_answers = ComputeError("no answer"), True

        assert run(attached).state == "done"
        assert [copy["status"] for copy in copies(attached)] == ["reserved"]

    def test_one_that_it_has_let_go_is_not_asked_for_again(self, attached: World) -> None:
        """It failed while the service was away, and its completion is on the way."""
        attached.compute.error, attached.compute.loses_answers = Killed("after it"), True
        with pytest.raises(Killed):
            run(attached)
        (copy,) = copies(attached)
        copy["status"] = "available"
        attached.add_attachment("a9", copy["id"], deleted=True)

        assert attached.run(migrate.flow, resumed=True, **MIGRATE).state == "done"
        assert attached.compute.swaps == [("i1", "v1")]
        assert [row["status"] for row in copies(attached)] == ["available"]

    def test_one_that_is_taken_while_it_is_undone_is_left(self, attached: World) -> None:
        """It is looked at before it is taken, and taken before it is written."""
        attached.compute.error = ComputeError("no answer")
        before, transition = records.Volumes.transition, {"taken": False}

        def take(self: Any, volume_id: str, to: str, **how: Any) -> None:
            if to == "deleting" and not transition["taken"]:
                transition["taken"] = True
                attached.volume(volume_id)["status"] = "reserved"
            before(self, volume_id, to, **how)

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(records.Volumes, "transition", take)
            run(attached)

        assert transition["taken"]
        assert [row["status"] for row in copies(attached)] == ["reserved"]

    def test_the_quota_of_what_it_took_is_used_though_it_is_undone(self, world: World) -> None:
        migrations.retyping_attached(world)
        args = {**migrations.RETYPE_AWAY, "reservations": [world.db.quota.reserve("gigabytes", 2)]}
        world.compute.error, world.compute.loses_answers = Killed("after it"), True
        with pytest.raises(Killed):
            world.run(retype.flow, **args)

        assert world.run(retype.flow, resumed=True, revert=True, **args).state == "failed"
        assert world.db.quota.open == {}
        assert world.db.quota.used["gigabytes"] == 3
        assert [copy["status"] for copy in copies(world)] == ["reserved"]

    def test_what_it_took_outlives_a_revert(self, attached: World) -> None:
        attached.compute.error, attached.compute.loses_answers = Killed("after it"), True
        with pytest.raises(Killed):
            run(attached)

        assert attached.run(migrate.flow, resumed=True, revert=True, **MIGRATE).state == "failed"
        assert [copy["status"] for copy in copies(attached)] == ["reserved"]

    @pytest.mark.parametrize(
        "attachments",
        [
            [],
            [{"attached_host": "h"}],
            [{"instance_uuid": "i1"}, {"instance_uuid": "i2"}],
            [{"instance_uuid": "i1"}, {"attached_host": "h"}],
        ],
        ids=["none", "a-host", "two", "a-host-too"],
    )
    def test_nobody_can_swap_one_that_is_not_of_one_instance(
        self, world: World, attachments: list[dict[str, Any]]
    ) -> None:
        migrations.starting(world, status="in-use", previous_status="in-use")
        for number, attachment in enumerate(attachments):
            world.add_attachment(f"a{number}", **attachment)
        outcome = run(world)

        assert outcome.failure is not None
        assert "detach it first" in str(outcome.failure.exception_str)
        assert_stayed(world, "in-use")
        assert world.compute.swaps == []

    def test_a_retype_uses_its_quota(self, world: World) -> None:
        migrations.retyping_attached(world)
        held = [world.db.quota.reserve("gigabytes", 2)]
        args = {**migrations.RETYPE_AWAY, "reservations": held}

        assert world.run(retype.flow, **args).state == "done"
        assert world.volume()["status"] == "retyping"
        assert world.db.quota.open == {}
        assert world.db.quota.used["gigabytes"] == 3


class TestUpdate:
    """update_migrated_volume, on the copy's backend."""

    OLD = {"_name_id": None, "provider_location": "old", "metadata": {"a": "1"}}
    NEW = {"_name_id": None, "provider_location": "new"}

    @pytest.fixture
    def arriving(self, world: World) -> World:
        world.add_volume(host=THERE, provider_location="old", migration_status="completing")
        world.db.pairs["metadata", "v1"] = {"a": "1"}
        world.add_volume("v9", migration_status="target:v1", provider_location="new")
        return world

    def update(self, world: World) -> Any:
        return world.call(
            update_migrated.flow,
            volume_id="v1",
            spare_id="v9",
            old=self.OLD,
            new=self.NEW,
            volume_status="available",
        )

    def places(self, world: World) -> list[tuple[Any, Any]]:
        rows = (world.volume(one) for one in ("v1", "v9"))
        return [(row["_name_id"], row["provider_location"]) for row in rows]

    def test_a_driver_without_it_leaves_the_name(self, arriving: World) -> None:
        arriving.driver.missing.add("update_migrated_volume")
        for _ in range(2):  # a second try sends the same
            self.update(arriving)

            assert self.places(arriving) == [("v9", "new"), (None, "old")]

    def test_what_it_tells_goes_to_the_volume_and_the_old_to_the_copy(
        self, arriving: World
    ) -> None:
        told = {"_name_id": None, "provider_location": "renamed", "metadata": {"b": "2"}}
        arriving.driver.plan["update_migrated_volume"] = told
        for _ in range(2):
            self.update(arriving)

            assert self.places(arriving) == [(None, "renamed"), (None, "old")]
            assert arriving.db.pairs["metadata", "v1"] == {"b": "2"}
            assert arriving.db.pairs["metadata", "v9"] == {"a": "1"}
        names = [call["volume"].name for call in arriving.driver.called("update_migrated_volume")]
        assert names == ["volume-v1", "volume-v1"]

    def test_nothing_told_is_nothing_taken(self, arriving: World) -> None:
        self.update(arriving)

        assert self.places(arriving) == [("v9", "new"), (None, "new")]

    @pytest.mark.parametrize(
        "answer", ["x", {"host": "mine"}, {"no_such_column": 1}, OSError("disk")]
    )
    def test_failures_write_nothing(self, arriving: World, answer: Any) -> None:
        arriving.driver.plan["update_migrated_volume"] = answer
        with pytest.raises(Exception, match="volume v1"):
            self.update(arriving)

        assert self.places(arriving) == [(None, "old"), (None, "new")]

    @pytest.mark.parametrize(
        "answer", [{"_name_id": "v5"}, {"_name_id": 7}, {"migration_status": "target:v5"}]
    )
    def test_an_answer_that_names_another_object(self, arriving: World, answer: Any) -> None:
        arriving.driver.plan["update_migrated_volume"] = answer
        with pytest.raises(Exception, match=r"update_migrated_volume .* returned the"):
            self.update(arriving)

        assert self.places(arriving) == [(None, "old"), (None, "new")]

    def test_an_answer_may_name_the_copys_object(self, arriving: World) -> None:
        arriving.driver.plan["update_migrated_volume"] = {"_name_id": "v9"}
        self.update(arriving)

        assert self.places(arriving)[0] == ("v9", "new")

    @pytest.mark.parametrize("part", ["OLD", "NEW"])
    def test_a_message_that_names_another_object(
        self, arriving: World, part: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(self, part, {"_name_id": "v5", "provider_location": "x"})
        with pytest.raises(errors.InvalidVolume, match="belongs to neither of the two"):
            self.update(arriving)

        assert self.places(arriving) == [(None, "old"), (None, "new")]

    def test_another_backends_copy(self, arriving: World) -> None:
        arriving.volume("v9")["host"] = "node@third#pool"
        with pytest.raises(errors.Invalid):
            self.update(arriving)

    def test_one_that_is_no_copy_any_more(self, arriving: World) -> None:
        arriving.volume("v9")["migration_status"] = "deleting"
        with pytest.raises(errors.InvalidVolume, match="is not the copy"):
            self.update(arriving)


class TestLostClaim:
    """A kill, and an administrator who resets the migration status before the next start."""

    @pytest.mark.parametrize("status", [None, "error"])
    def test_the_copy_of_an_interrupted_migration_goes(
        self, leaving: World, status: str | None
    ) -> None:
        leaving.driver.plan["before_volume_copy"] = Killed("while it is copied")
        with pytest.raises(Killed):
            run(leaving)
        leaving.revive()
        leaving.volume()["migration_status"] = status

        assert run(leaving, resumed=True).state == "done"

        assert copies(leaving) == []
        assert leaving.elsewhere.objects == set()
        assert leaving.volume()["migration_status"] == status
        assert leaving.driver.objects == {"volume-v1"}

    def test_a_copy_that_has_its_volumes_place_is_kept(self, leaving: World) -> None:
        leaving.elsewhere.plan["update_migrated"] = Killed("while it is renamed")
        with pytest.raises(Killed):
            run(leaving)
        leaving.revive()
        leaving.volume()["migration_status"] = None

        run(leaving, resumed=True)

        assert len(copies(leaving)) == 1
        assert leaving.elsewhere.objects != set()
