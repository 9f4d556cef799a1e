# SPDX-License-Identifier: Apache-2.0
"""Volumes: their end, their quota, their relations, and many at once."""

from __future__ import annotations

import datetime

import pytest

from tests.unit.db.world import LONG_AGO, PROJECT
from worker.db.criteria import BackendRows


@pytest.fixture
def volume(records):
    """A volume with everything that can belong to it."""
    sets = {"metadata": {"a": "1"}, "admin_metadata": {"b": "1"}}
    return records.volumes.create(
        id="v1", project_id=PROJECT, status="deleting", migration_status="success", size=5, **sets
    )


BELONGINGS = {
    "volume_glance_metadata": {"key": "k", "value": "v"},
    "volume_attachment": {"attach_status": "attached"},
    "transfers": {},
    "snapshots": {"volume_type_id": "t", "status": "available", "use_quota": True},
}


class TestDestroy:
    def test_marks_the_row_and_keeps_when_it_changed_last(self, records, tables, volume):
        tables.set("volumes", "v1", updated_at=LONG_AGO)

        assert records.volumes.destroy("v1") is True
        row = tables.row("volumes", id="v1")
        assert (row["status"], row["deleted"], row["migration_status"]) == ("deleted", True, None)
        assert row["deleted_at"] is not None
        assert row["updated_at"] == LONG_AGO

    def test_takes_what_belongs_to_it_along_and_nothing_else(self, records, tables, volume):
        records.volumes.create(id="other", metadata={"a": "1"})
        for table, columns in BELONGINGS.items():
            for owner in ("v1", "other"):
                tables.add(table, volume_id=owner, **columns)
        records.volumes.destroy("v1")

        for table in (*BELONGINGS, "volume_metadata"):
            assert tables.row(table, volume_id="v1")["deleted"] is True, table
            assert tables.row(table, volume_id="v1")["deleted_at"] is not None, table
            assert tables.row(table, volume_id="other")["deleted"] is False, table
        assert tables.row("volume_admin_metadata")["deleted"] is True
        assert tables.row("snapshots", volume_id="v1")["status"] == "available"
        attachment = tables.row("volume_attachment", volume_id="v1")
        assert attachment["attach_status"] == "detached"
        assert attachment["detach_time"] is not None

    def test_removes_the_work_row(self, records, tables, volume):
        records.workers.offer("Volume", "v1", "deleting")
        records.volumes.destroy("v1")

        assert tables.rows("workers", resource_id="v1") == []

    def test_a_second_time_says_so_and_gives_nothing_back_again(self, records, tables, volume):
        tables.use(volumes=3, gigabytes=20, volumes___DEFAULT__=2, gigabytes___DEFAULT__=4)
        release = {"volumes": 1, "gigabytes": 5}

        assert records.volumes.destroy("v1", release=release) is True
        assert records.volumes.destroy("v1", release=release) is False
        assert tables.used() == {
            "volumes": (2, 0),
            "gigabytes": (15, 0),
            "volumes___DEFAULT__": (1, 0),
            "gigabytes___DEFAULT__": (0, 0),
        }

    def test_quota_of_a_type_that_is_gone_is_given_back_all_the_same(self, records, tables):
        gold = tables.volume_type("gold", deleted=True)
        records.volumes.create(id="v1", project_id=PROJECT, volume_type_id=gold)
        tables.use(volumes=1, volumes_gold=1)
        records.volumes.destroy("v1", release={"volumes": 1})

        assert tables.used() == {"volumes": (0, 0), "volumes_gold": (0, 0)}

    def test_other_projects_and_deleted_usages_are_left_alone(self, records, tables, volume):
        tables.use("other", volumes=3)
        tables.use(volumes=3)
        old = tables.row("quota_usages", project_id=PROJECT)
        tables.set("quota_usages", old["id"], deleted=True, race_preventer=None)
        records.volumes.destroy("v1", release={"volumes": 1})

        assert tables.used("other") == {"volumes": (3, 0)}
        assert tables.used() == {"volumes": (3, 0)}

    def test_a_volume_that_never_was_is_gone(self, records):
        assert records.volumes.destroy("v1", release={"volumes": 1}) is False


class TestReservations:
    def reserve(self, records, **amounts):
        return records.quotas.reserve(PROJECT, amounts)

    def test_commit_comes_with_the_status_and_only_once(self, records, tables):
        records.volumes.create(id="v1", status="extending", size=1)
        tables.use(gigabytes=1)
        ids = self.reserve(records, gigabytes=4)
        for _ in range(2):
            records.volumes.transition(
                "v1", "available", when=("extending",), commit=ids, size=5, done=True
            )

        assert tables.used() == {"gigabytes": (5, 0)}
        assert tables.row("reservations")["deleted"] is True

    def test_rollback_comes_with_the_status_and_only_once(self, records, tables):
        records.volumes.create(id="v1", status="extending", size=1)
        tables.use(gigabytes=1)
        ids = self.reserve(records, gigabytes=4)
        for _ in range(2):
            records.volumes.transition("v1", "error_extending", when=("extending",), rollback=ids)

        assert tables.used() == {"gigabytes": (1, 0)}

    def test_a_lost_race_settles_nothing(self, records, tables):
        records.volumes.create(id="v1", status="deleting")
        ids = self.reserve(records, gigabytes=4)

        with pytest.raises(Exception, match="is deleting"):
            records.volumes.transition("v1", "available", when=("extending",), commit=ids)
        assert tables.used() == {"gigabytes": (0, 4)}

    def test_ids_that_nobody_knows_are_skipped(self, records):
        records.volumes.create(id="v1")
        records.volumes.transition(
            "v1", "available", when=("creating",), commit=["no-such", "", "x" * 99]
        )

        assert records.volumes.get("v1").status == "available"


class TestRelations:
    def test_type_with_its_specs_even_if_deleted(self, records, tables):
        gold = tables.volume_type("gold", deleted=True)
        tables.add("volume_type_extra_specs", volume_type_id=gold, key="a", value="1")
        tables.add("volume_type_extra_specs", volume_type_id=gold, key="b", value="2", deleted=True)
        found = records.volumes.create(volume_type_id=gold).volume_type

        assert (found.id, found.name, found.extra_specs) == (gold, "gold", {"a": "1"})
        assert found.qos_specs_id is None

    def test_no_type_row_is_none(self, records):
        assert records.volumes.create(volume_type_id="gone").volume_type is None

    def test_live_attachments_oldest_first(self, records):
        volume = records.volumes.create(id="v1")
        for second, attachment_id in enumerate(("b", "a", "c")):
            made = datetime.datetime(2026, 1, 1, 0, 0, second)
            records.attachments.create(id=attachment_id, volume_id="v1", created_at=made)
        records.attachments.destroy("c")

        assert [a.id for a in volume.volume_attachment] == ["b", "a"]

    def test_qos(self, records, tables):
        root = tables.add("quality_of_service_specs", key="QoS_Specs_Name", value="fast")
        for key, value in (("consumer", "both"), ("iops", "100")):
            tables.add("quality_of_service_specs", specs_id=root, key=key, value=value)
        fast = tables.volume_type("fast", qos_specs_id=root)

        assert records.volumes.qos(fast) == {"consumer": "both", "specs": {"iops": "100"}}
        assert records.volumes.qos(tables.volume_type("plain")) is None
        assert records.volumes.qos(None) is None


HOSTS = [
    "n@b#p1",
    "n@b#p1",
    "n@b#p2",
    "n@b",
    "n@bb#p1",
    "n@B#p1",
    "N@b#p1",
    "n@b_#x",
    "n@bx#x",
    "nn@b",
    "n",
    None,
]


class TestOnHost:
    @pytest.fixture(autouse=True)
    def volumes(self, records):
        for number, host in enumerate(HOSTS):
            records.volumes.create(id=f"v{number:02}", host=host, size=2, project_id=PROJECT)
        records.volumes.destroy(records.volumes.create(id="gone", host="n@b#p1").id)

    @pytest.mark.parametrize(
        ("host", "found"),
        [
            ("n@b", [0, 1, 2, 3]),
            ("n@B", [5]),
            ("N@b", [6]),
            ("n@b#p1", [0, 1]),
            ("n@b_", [7]),
            ("n@%", []),
            ("n", [0, 1, 2, 3, 4, 5, 7, 8, 10]),
            ("nobody@b", []),
        ],
    )
    @pytest.mark.parametrize("batch", [0, 1, 3])
    def test_pools_and_backends_by_the_letter(self, records, host, found, batch):
        ids = [volume.id for volume in records.volumes.on_host(host, batch)]

        assert ids == [f"v{number:02}" for number in found]
        assert records.volumes.count_on_host(host) == len(found)

    def test_allocated_by_pool(self, records):
        assert records.volumes.allocated_by_pool("n@b") == {"p1": 4, "p2": 2, "b": 2}

    def test_the_rows_of_a_cluster_are_those_with_its_name(self, records):
        """Whichever of its hosts has created them, or may be gone."""
        named = {"c1": "c@b#p1", "c2": "c@b#p2", "c3": "c@b", "c4": "c@bb#p1", "c5": "C@b#p1"}
        for number, (volume_id, name) in enumerate(named.items()):
            host = f"gone{number}@b#{name.partition('#')[2]}".rstrip("#")
            columns = {"size": 2, "status": "in-use", "cluster_name": name}
            records.volumes.create(id=volume_id, host=host, **columns)
            records.snapshots.create(id=f"s-{volume_id}", volume_id=volume_id, status="deleting")
        cluster = BackendRows("n@b", "c@b")

        assert [v.id for v in records.volumes.on_host(cluster, 1)] == ["c1", "c2", "c3"]
        assert [v.id for v in records.volumes.in_use_on_host(cluster)] == ["c1", "c2", "c3"]
        assert [v.id for v in records.volumes.without_pool_on_host(cluster)] == ["c3"]
        assert [s.id for s in records.snapshots.on_host(cluster)] == ["s-c1", "s-c2", "s-c3"]
        assert records.volumes.count_on_host(cluster) == 3
        assert records.volumes.allocated_by_pool(cluster) == {"p1": 2, "p2": 2, "b": 2}
        among = records.on_host(cluster)
        found = among.unsettled("snapshot", column="status", among=["deleting"])
        assert [s.id for s in found] == ["s-c1", "s-c2", "s-c3"]
        assert [v.id for v in among.volumes()] == ["c1", "c2", "c3"]

    def test_list_by_columns(self, records):
        assert len(records.volumes.list(project_id=PROJECT)) == len(HOSTS)
        assert len(records.volumes.list(project_id=PROJECT, limit=3)) == 3
        assert [v.id for v in records.volumes.list(host="nn@b")] == ["v09"]
        with pytest.raises(ValueError, match="volumes.colour"):
            records.volumes.list(colour="red")
