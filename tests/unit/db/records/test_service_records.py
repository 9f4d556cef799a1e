# SPDX-License-Identifier: Apache-2.0
"""Services: one row for a host and a binary, its heartbeat, its cluster."""

from __future__ import annotations

import datetime

import pytest
import sqlalchemy as sa
from oslo_utils import timeutils

from drivers.interface.records import Record
from flows.errors import Unavailable
from tests.unit.db.world import LONG_AGO
from worker.db import models
from worker.db.database import Database
from worker.db.records import Records
from worker.db.records.services.cluster import OtherCluster
from worker.db.records.services.service import Services, is_up

BINARY = "cinder-volume"
WHO = {
    "host": "h@b",
    "binary": BINARY,
    "topic": BINARY,
    "availability_zone": "nova",
    "rpc_version": "3.20",
    "object_version": "1.39",
}
BEAT = {"host": "h@b", "binary": BINARY, "availability_zone": "nova"}


class TestEnsure:
    def test_a_new_row_has_what_the_api_and_the_scheduler_look_at(self, records, tables):
        made = records.services.ensure(**WHO)
        row = tables.row("services")

        assert made.to_dict() == row
        assert (row["rpc_current_version"], row["object_current_version"]) == ("3.20", "1.39")
        assert (row["disabled"], row["frozen"], row["deleted"]) == (False, False, False)
        assert (row["report_count"], row["replication_status"]) == (0, "not-capable")
        assert row["updated_at"] is not None
        assert len(row["uuid"]) == 36

    @pytest.mark.parametrize("cluster", [None, "c@b"])
    def test_a_new_row_is_disabled_where_the_operator_wants_that(self, database, tables, cluster):
        services = Services(database, enable_new=False)
        made = services.ensure(**WHO, cluster=cluster)
        rows = [tables.row("services"), *(tables.rows("clusters") if cluster else [])]

        assert [bool(row["disabled"]) for row in rows] == [True] * len(rows)
        services.update(made.id, disabled=False)
        assert not services.ensure(**{**WHO, "rpc_version": "3.21"}, cluster=cluster).disabled

    def test_is_found_again_and_only_its_versions_change(self, records, tables):
        first = records.services.ensure(**{**WHO, "rpc_version": "3.19"})
        tables.set("services", first.id, updated_at=LONG_AGO, disabled=True)
        again = records.services.ensure(**{**WHO, "availability_zone": "other"})
        row = tables.row("services")

        assert (again.id, again.uuid) == (first.id, first.uuid)
        assert row["rpc_current_version"] == again.rpc_current_version == "3.20"
        assert (row["updated_at"], row["disabled"]) == (LONG_AGO, True)
        assert row["availability_zone"] == "nova"

    @pytest.mark.parametrize("other", [{"host": "H@b"}, {"host": "h@b "}, {"binary": "x"}])
    def test_another_host_or_binary_is_another_row(self, records, tables, other):
        first = records.services.ensure(**WHO)
        second = records.services.ensure(**{**WHO, **other})

        assert first.uuid != second.uuid
        assert len(tables.rows("services")) == 2

    def test_after_a_deleted_row_there_is_a_new_one(self, records, tables):
        first = records.services.ensure(**WHO)
        tables.set("services", first.id, deleted=True)
        second = records.services.ensure(**WHO)

        assert second.id != first.id
        assert second.uuid != first.uuid
        assert records.services.ensure(**WHO).id == second.id

    def test_a_new_row_takes_the_volumes_of_its_host(self, records, tables):
        old = records.services.ensure(**{**WHO, "host": "old"})
        hosts = {"mine": "h@b#p", "other": "H@b#p", "owned": "h@b#p"}
        for volume_id, host in hosts.items():
            uuid = old.uuid if volume_id == "owned" else None
            records.volumes.create(id=volume_id, host=host, service_uuid=uuid)
        made = records.services.ensure(**WHO)

        found = {v["id"]: v["service_uuid"] for v in tables.rows("volumes")}
        assert found == {"mine": made.uuid, "other": None, "owned": old.uuid}
        # No operation has changed them.
        assert [v["updated_at"] for v in tables.rows("volumes")] == [None] * 3


class TestHeartbeat:
    def test_counts_and_writes_the_time_and_the_zone(self, records, tables):
        made = records.services.ensure(**WHO)
        tables.set("services", made.id, updated_at=LONG_AGO)

        assert records.services.heartbeat(**{**BEAT, "availability_zone": "z2"}) == 1
        row = tables.row("services")
        age = datetime.datetime.now(datetime.UTC).replace(tzinfo=None) - row["updated_at"]
        assert age < datetime.timedelta(minutes=1)
        assert (row["report_count"], row["availability_zone"]) == (1, "z2")

    def test_says_that_the_row_is_gone(self, records, tables):
        made = records.services.ensure(**WHO)
        tables.set("services", made.id, deleted=True)

        assert records.services.heartbeat(**BEAT) is None
        assert tables.row("services")["report_count"] == 0

    def test_does_not_wait_for_a_database_that_is_away(self, tmp_path):
        nowhere = Database(f"sqlite:///{tmp_path}/none/x", db_retry_interval=3600)

        with pytest.raises(Unavailable):
            Records(nowhere).services.heartbeat(**BEAT)


@pytest.mark.parametrize(
    ("updated", "created", "up"),
    [(50, 900, True), (70, 900, False), (None, 50, True), (None, 70, False), (None, None, False)],
)
def test_a_service_is_down_after_its_time(updated, created, up):
    def ago(seconds):
        return seconds and timeutils.utcnow() - datetime.timedelta(seconds=seconds)

    row = Record("service", {"updated_at": ago(updated), "created_at": ago(created)})
    assert is_up(row, 60) is up


class TestServiceColumns:
    def test_disabling_is_no_heartbeat(self, records, tables):
        made = records.services.ensure(**WHO)
        tables.set("services", made.id, updated_at=LONG_AGO)
        records.services.update(made.id, disabled=True, disabled_reason="frozen")
        row = tables.row("services")

        assert (row["disabled"], row["disabled_reason"]) == (True, "frozen")
        assert row["updated_at"] == LONG_AGO
        assert row["modified_at"] is not None

    @pytest.mark.parametrize(
        ("before", "after"),
        [("not-capable", "enabled"), (None, "enabled"), ("failed-over", "failed-over")],
    )
    def test_a_failover_outlives_a_start(self, records, tables, before, after):
        made = records.services.ensure(**WHO)
        tables.set("services", made.id, replication_status=before)
        records.services.set_replication_status(made.id, "enabled")

        assert tables.row("services")["replication_status"] == after

    def test_columns_are_written_without_a_heartbeat(self, records, tables):
        made = records.services.ensure(**WHO)
        tables.set("services", made.id, updated_at=LONG_AGO)
        failed_over = {"replication_status": "failed-over", "active_backend_id": "second"}
        records.services.update(made.id, **failed_over)
        row = tables.row("services")

        assert failed_over.items() <= row.items()
        assert (row["updated_at"], row["modified_at"]) == (LONG_AGO, None)
        with pytest.raises(ValueError, match="no_such"):
            records.services.update(made.id, no_such=1)

    def test_list_and_get(self, records):
        made = records.services.ensure(**WHO)
        records.services.ensure(**{**WHO, "binary": "cinder-backup"})

        assert len(records.services.list()) == 2
        assert [s.id for s in records.services.list(binary=BINARY)] == [made.id]
        assert records.services.get(made.id).uuid == made.uuid
        assert records.services.get(99) is None


class TestCluster:
    def test_a_new_member_brings_its_resources_along(self, records, tables):
        records.volumes.create(id="mine", host="h@b#p")
        records.volumes.create(id="bare", host="h@b")
        records.volumes.create(id="other", host="H@b#p")
        tables.add("groups", id="g", host="h@b#p")
        records.services.ensure(**WHO, cluster="c@b")
        records.services.ensure(**WHO, cluster="c@b")

        found = {v["id"]: v["cluster_name"] for v in tables.rows("volumes")}
        assert found == {"mine": "c@b#p", "bare": "c@b", "other": None}
        assert tables.row("groups")["cluster_name"] == "c@b#p"
        assert tables.row("services")["cluster_name"] == "c@b"
        assert tables.row("clusters")["race_preventer"] == 0

    def test_its_row_is_written(self, records, tables):
        records.services.ensure(**WHO, cluster="c@b")
        records.services.ensure(**{**WHO, "host": "h2@b"}, cluster="d@b")
        records.services.update_cluster("c@b", BINARY, replication_status="failed-over")

        found = {row["name"]: row["replication_status"] for row in tables.rows("clusters")}
        assert found == {"c@b": "failed-over", "d@b": "not-capable"}

    @pytest.mark.parametrize(
        ("configured", "remedy"),
        [
            ("d@b", "holdfast cluster rename c@b d@b"),
            (None, "holdfast cluster leave h@b"),
        ],
    )
    def test_another_one_is_refused_with_the_remedy(self, records, tables, configured, remedy):
        records.services.ensure(**WHO, cluster="c@b")
        with pytest.raises(OtherCluster) as caught:
            records.services.ensure(**{**WHO, "rpc_version": "3.21"}, cluster=configured)

        assert str(caught.value).endswith(f"set cluster = c, or run: {remedy}")
        row = tables.row("services")
        assert (row["cluster_name"], row["rpc_current_version"]) == ("c@b", WHO["rpc_version"])
        assert [one["name"] for one in tables.rows("clusters")] == ["c@b"]

    def test_rows_that_come_without_a_name_join_at_the_next_start(self, records, tables):
        records.services.ensure(**WHO, cluster="c@b")
        records.volumes.create(id="late", host="h@b#p")
        records.volumes.create(id="theirs", host="h@b#p", cluster_name="d@b#p")
        tables.add("consistencygroups", id="cg", host="h@b#p")
        entry = {"host": "h@b#p", "image_id": "i", "volume_id": "v", "size": 1}
        entry["last_used"] = LONG_AGO
        with records.services._db.writer() as connection:
            connection.execute(sa.insert(models.image_volume_cache_entries).values(**entry))
        records.services.ensure(**WHO, cluster="c@b")

        found = {v["id"]: v["cluster_name"] for v in tables.rows("volumes")}
        assert found == {"late": "c@b#p", "theirs": "d@b#p"}
        assert tables.row("consistencygroups")["cluster_name"] == "c@b#p"
        assert tables.row("image_volume_cache_entries")["cluster_name"] == "c@b#p"

    @pytest.mark.parametrize("own", ["enabled", "error", "failover-error"])
    def test_a_new_one_has_the_state_of_its_first_service(self, records, tables, own):
        made = records.services.ensure(**WHO)
        state = {"replication_status": own, "active_backend_id": "second", "frozen": True}
        records.services.update(made.id, **state)
        records.services.ensure(**WHO, cluster="c@b")

        assert state.items() <= tables.row("clusters").items()
        assert state.items() <= tables.row("services").items()

    @pytest.mark.parametrize(
        ("own", "is_member", "takes"),
        [
            ("enabled", False, True),
            ("error", False, False),
            ("failover-error", False, False),
            ("enabled", True, True),
            ("error", True, True),
            ("failover-error", True, True),
        ],
    )
    def test_a_service_takes_over_the_state_of_the_cluster(
        self, records, tables, own, is_member, takes
    ):
        """At each start; one that joins with an error of its own keeps that."""
        records.services.ensure(**{**WHO, "host": "h2@b"}, cluster="c@b")
        state = {"replication_status": "failed-over", "active_backend_id": "x", "frozen": True}
        records.services.update_cluster("c@b", BINARY, **state)
        made = records.services.ensure(**WHO, cluster="c@b" if is_member else None)
        records.services.update(made.id, replication_status=own, active_backend_id="", frozen=False)
        after = records.services.ensure(**WHO, cluster="c@b")

        before = {"replication_status": own, "active_backend_id": "", "frozen": False}
        assert (state if takes else before).items() <= after.items()
        assert (state if takes else before).items() <= records.services.get(made.id).items()
