# SPDX-License-Identifier: Apache-2.0
"""retype: spec/volume-rpc §2, §5 and §7."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from drivers.interface.records import Record
from tests.functional.cloud import PATIENCE, POOL_HOST, Cloud
from tests.functional.operations.migration.pair import (
    THERE,
    Pair,
    host,
    set_reservation,
    volume_type,
)
from tests.functional.operations.test_delete_and_extend import reserve, usage, use
from tests.servers import until

FAILS = {"raise": "VolumeBackendAPIException"}
AFTER = {"volumes___OLD__": (0, 0), "volumes___NEW__": (1, 0)}
BEFORE = {"volumes___OLD__": (1, 0), "volumes___NEW__": (0, 0)}


class Retyping:
    """A volume as the API leaves one that is to be retyped, with its quota.

    :param old: extra specs of its type.
    :param new: those of the type that it is to have.
    """

    def __init__(
        self, cloud: Cloud, old: dict[str, str], new: dict[str, str], **columns: Any
    ) -> None:
        self.cloud, self.project = cloud, uuid.uuid4().hex
        self.old, self.new = volume_type(cloud, **old), volume_type(cloud, **new)
        given = {"status": "retyping", "previous_status": "available"}
        self.volume = cloud.existing(
            **{**given, "volume_type_id": self.old, "project_id": self.project, **columns}
        )
        data = b"data of " + self.volume.name.encode()
        cloud.script.path(self.volume.name).write_bytes(data)
        use(cloud, self.project, volumes___OLD__=1, volumes___NEW__=0)
        self.reservations = {
            "reservations": [reserve(cloud, self.project, "volumes___NEW__", 1)],
            "old_reservations": [self._negative("volumes___OLD__")],
        }

    def _negative(self, resource: str) -> str:
        """Reserve negative amounts, as the API does for the former type."""
        key = reserve(self.cloud, self.project, resource, 0)
        set_reservation(self.cloud, key, -1)
        return key

    def ask(self, to: str = POOL_HOST, policy: str = "never") -> Record:
        """Send the scheduler's cast and wait for its end."""
        self.cloud.cast(
            "retype",
            "3.5",
            volume=self.volume,
            new_type_id=self.new,
            host=host(to),
            migration_policy=policy,
            **self.reservations,
        )
        until(
            lambda: any(self.volume.id in one.resource for one in self.cloud.entries()),
            PATIENCE,
            "the acceptance",
        )
        wanted = self.volume.previous_status
        self.cloud.wait_status(self.volume, wanted)
        self.cloud.wait_idle()
        return self.cloud.records.volumes.get(self.volume.id)

    def calls(self, method: str) -> list[dict[str, Any]]:
        """Return the calls of the driver for the volume."""
        return [c for c in self.cloud.script.calls(method) if c["id"] == self.volume.id]

    def assert_done(self, row: Record) -> None:
        """It has the new type, and the quota is the new one's."""
        assert row.volume_type_id == self.new
        assert usage(self.cloud, self.project) == AFTER

    def assert_unchanged(self, row: Record) -> None:
        """It is unchanged, and its reservations are rolled back."""
        assert (row.volume_type_id, row.host) == (self.old, POOL_HOST)
        assert row.migration_status in (None, "error")
        assert usage(self.cloud, self.project) == BEFORE
        assert self.volume.name in self.cloud.script.objects()


def failure(cloud: Cloud, volume: Record) -> str:
    """Return why the operation on a volume failed."""
    cloud.wait_idle()  # the row is ended before the journal is
    (entry,) = [e for e in cloud.entries() if e.resource.endswith(volume.id)]
    return str(entry.failure)


class TestInPlace:
    @pytest.mark.parametrize("before", ["available", "in-use"])
    @pytest.mark.parametrize(
        "answer", [True, [True, None], [True, {"provider_location": "x"}]], ids=str
    )
    def test_by_the_driver(self, cloud: Cloud, before: str, answer: Any) -> None:
        cloud.script.plan(retype={"return": answer})
        asked = Retyping(cloud, {"a": "1"}, {"a": "2"}, previous_status=before)
        snapshot = cloud.existing_snapshot(asked.volume)
        row = asked.ask()

        asked.assert_done(row)
        assert (row.status, row.host, row.migration_status) == (before, POOL_HOST, None)
        assert cloud.records.snapshots.get(snapshot.id).volume_type_id == asked.new
        (call,) = asked.calls("retype")
        assert call["diff"] == {"extra_specs": {"a": ["1", "2"]}, "qos_specs": {}, "encryption": {}}
        assert call["host"] == POOL_HOST

    def test_another_pool_of_the_backend(self, cloud: Cloud) -> None:
        cloud.script.plan(retype={"return": True})
        asked = Retyping(cloud, {"a": "1"}, {"a": "2"})
        other = POOL_HOST.replace("#pool", "#other")

        asked.assert_done(row := asked.ask(other))
        assert row.host == other

    @pytest.mark.parametrize("to", [POOL_HOST, THERE])
    def test_equal_types_need_no_driver(self, cloud: Cloud, to: str) -> None:
        cloud.script.plan(retype=FAILS)
        asked = Retyping(cloud, {"a": "1"}, {"a": "1"})
        row = asked.ask(to)

        asked.assert_done(row)
        assert row.host == POOL_HOST
        assert asked.calls("retype") == []

    @pytest.mark.parametrize(
        ("old", "new", "status"),
        [
            ("<is> False", "<is> True", "enabled"),
            ("<is> True", "<is> False", "disabled"),
            ("<is> True", "<is> True", None),
        ],
    )
    def test_replication_follows(
        self, cloud: Cloud, old: str, new: str, status: str | None
    ) -> None:
        cloud.script.plan(retype={"return": True})
        specs = [
            {"replication_enabled": value, "a": value + n} for value, n in ((old, "1"), (new, "2"))
        ]
        asked = Retyping(cloud, *specs)

        assert asked.ask().replication_status == status

    @pytest.mark.parametrize(
        "plan",
        [
            pytest.param({"return": False}, id="refused"),
            pytest.param({"return": [False, None]}, id="refused, with columns"),
            pytest.param(FAILS, id="failed"),
            pytest.param({"raise": "NotImplementedError"}, id="not supported"),
            pytest.param({"return": "yes"}, id="rubbish"),
            pytest.param({"return": [True, {"project_id": "mine"}]}, id="somebody else's column"),
        ],
    )
    def test_not_done_and_never_to_be_migrated(self, cloud: Cloud, plan: dict[str, Any]) -> None:
        cloud.script.plan(retype=plan)
        asked = Retyping(cloud, {"a": "1"}, {"a": "2"})

        asked.assert_unchanged(asked.ask())
        assert "VolumeMigrationFailed" in failure(cloud, asked.volume)

    def test_an_unknown_type(self, cloud: Cloud) -> None:
        asked = Retyping(cloud, {}, {})
        asked.new = str(uuid.uuid4())

        asked.assert_unchanged(asked.ask())
        assert "VolumeTypeNotFound" in failure(cloud, asked.volume)

    def test_one_that_is_not_being_retyped(self, cloud: Cloud) -> None:
        asked = Retyping(cloud, {}, {}, status="available")

        asked.assert_unchanged(asked.ask())

    def test_one_whose_status_before_nobody_noted(self, cloud: Cloud) -> None:
        cloud.script.plan(retype={"return": True})
        asked = Retyping(cloud, {"a": "1"}, {"a": "2"})
        cloud.records.volumes.update(asked.volume.id, previous_status=None)

        asked.assert_done(asked.ask())


class TestByMigration:
    def test_the_copy_has_the_new_type(self, pair: Pair) -> None:
        asked = Retyping(pair.cloud, {"a": "1"}, {"a": "2"})
        row = asked.ask(THERE, "on-demand")

        asked.assert_done(row)
        assert asked.calls("retype") == []
        pair.assert_moved(row)

    def test_what_the_driver_refuses_is_copied_on_the_same_backend(self, pair: Pair) -> None:
        asked = Retyping(pair.cloud, {"a": "1"}, {"a": "2"})
        row = asked.ask(POOL_HOST, "on-demand")

        asked.assert_done(row)
        assert (row.host, row.migration_status) == (POOL_HOST, "success")
        pair.wait(lambda: asked.volume.name not in pair.cloud.script.objects())
        assert row.name in pair.cloud.script.objects()
        pair.assert_no_copy(row)

    def test_the_driver_may_move_what_stays_the_same(self, pair: Pair) -> None:
        pair.cloud.script.plan(migrate_volume={"return": [True, None]})
        names = ({"volume_backend_name": name} for name in ("b1", "b2"))
        asked = Retyping(pair.cloud, *names)
        row = asked.ask(THERE, "on-demand")

        asked.assert_done(row)
        assert (row.host, row.migration_status) == (THERE, "success")
        assert pair.copies(row) == []

    def test_a_copy_that_fails(self, pair: Pair) -> None:
        pair.second.plan(create_volume=FAILS)
        asked = Retyping(pair.cloud, {"a": "1"}, {"a": "2"})
        row = asked.ask(THERE, "on-demand")

        asked.assert_unchanged(row)
        pair.assert_stayed(row)

    @pytest.mark.parametrize(
        ("columns", "text"),
        [
            pytest.param({}, "has 1 snapshots", id="snapshots"),
            pytest.param({"replication_status": "enabled"}, "is replicated", id="replicated"),
            pytest.param({"previous_status": "in-use"}, "has 1 attachments", id="attached"),
        ],
    )
    def test_what_cannot_be_migrated(self, pair: Pair, columns: dict[str, Any], text: str) -> None:
        asked = Retyping(pair.cloud, {"a": "1"}, {"a": "2"}, **columns)
        if "snapshots" in text:
            pair.cloud.existing_snapshot(asked.volume)
        if "attachments" in text:
            pair.cloud.attachment(asked.volume, "attached")
        row = asked.ask(THERE, "on-demand")

        asked.assert_unchanged(row)
        assert text in failure(pair.cloud, asked.volume)
        assert pair.copies(row) == []
