# SPDX-License-Identifier: Apache-2.0
"""Quota: limits, reservations, and usage that is counted on first use."""

from __future__ import annotations

import datetime

import pytest

from flows.errors import OverQuota
from tests.unit.db.world import PROJECT
from worker.db.records import Records


@pytest.fixture
def quotas(records):
    """Quota with the limits 10 volumes, 100 GiB, 10 snapshots."""
    return records.quotas


class TestReserve:
    def test_holds_until_it_ends(self, quotas, tables):
        tables.use(volumes=2, gigabytes=10)
        ids = quotas.reserve(PROJECT, {"volumes": 1, "gigabytes": 5})

        assert tables.used() == {"volumes": (2, 1), "gigabytes": (10, 5)}
        rows = tables.rows("reservations")
        assert sorted(ids) == sorted(row["uuid"] for row in rows)
        day = datetime.timedelta(days=1)
        assert all(row["expire"] - row["created_at"] == day for row in rows)
        assert {row["project_id"] for row in rows} == {PROJECT}

    def test_also_under_the_name_of_the_type(self, quotas, tables):
        gold = tables.volume_type("gold", deleted=True)
        quotas.reserve(PROJECT, {"volumes": 1}, volume_type_id=gold)

        assert tables.used() == {"volumes": (0, 1), "volumes_gold": (0, 1)}

    def test_a_negative_amount_reserves_nothing_until_it_is_committed(self, quotas, tables):
        tables.use(volumes=2)
        ids = quotas.reserve(PROJECT, {"volumes": -1})

        assert tables.used() == {"volumes": (2, 0)}
        quotas.commit(ids)
        assert tables.used() == {"volumes": (1, 0)}

    def test_nothing_is_no_reservation(self, quotas, tables):
        assert quotas.reserve(PROJECT, {"volumes": 0}) == []
        assert tables.rows("quota_usages") == []


class TestLimits:
    def test_over_it_nothing_is_reserved_and_the_numbers_are_named(self, quotas, tables):
        tables.use(volumes=9, gigabytes=0)
        quotas.reserve(PROJECT, {"volumes": 1})

        with pytest.raises(OverQuota) as caught:
            quotas.reserve(PROJECT, {"volumes": 1, "gigabytes": 1})
        assert "volumes: 1 wanted, 9 used, 1 reserved, limit 10" in str(caught.value)
        assert "gigabytes" not in str(caught.value)
        assert tables.used() == {"volumes": (9, 1), "gigabytes": (0, 0)}

    def test_up_to_it_is_allowed_and_less_always_is(self, quotas, tables):
        tables.use(volumes=9, gigabytes=500)
        quotas.reserve(PROJECT, {"volumes": 1})
        quotas.reserve(PROJECT, {"gigabytes": -5})

    @pytest.mark.parametrize(
        ("project", "default", "limit"),
        [
            ([], [], 10),
            ([], [3], 3),
            ([5], [3], 5),
            ([-1], [3], -1),
            ([None], [3], -1),
            ([0], [], 0),
        ],
    )
    def test_the_projects_own_then_the_default_class_then_the_options(
        self, quotas, tables, project, default, limit
    ):
        for value in project:
            tables.add("quotas", project_id=PROJECT, resource="volumes", hard_limit=value)
        for value in default:
            columns = {"class_name": "default", "resource": "volumes", "hard_limit": value}
            tables.add("quota_classes", **columns)

        assert quotas.limit(PROJECT, "volumes") == limit

    def test_a_type_has_no_limit_unless_the_database_says_so(self, quotas, tables):
        gold = tables.volume_type("gold")
        tables.use(volumes_gold=1000)
        quotas.reserve(PROJECT, {"volumes": 1}, volume_type_id=gold)
        tables.add("quotas", project_id=PROJECT, resource="volumes_gold", hard_limit=3)

        with pytest.raises(OverQuota, match="volumes_gold"):
            quotas.reserve(PROJECT, {"volumes": 1}, volume_type_id=gold)


class TestSettle:
    @pytest.mark.parametrize(
        ("end", "used"), [("commit", {"volumes": (3, 0)}), ("rollback", {"volumes": (2, 0)})]
    )
    def test_ends_once(self, quotas, tables, end, used):
        tables.use(volumes=2)
        ids = quotas.reserve(PROJECT, {"volumes": 1})
        getattr(quotas, end)(ids)
        quotas.commit(ids)
        quotas.rollback(ids)

        assert tables.used() == used
        assert tables.row("reservations")["deleted_at"] is not None

    def test_nothing_falls_below_zero(self, quotas, tables):
        tables.use(volumes=2)
        ids = quotas.reserve(PROJECT, {"volumes": -5})
        more = quotas.reserve(PROJECT, {"volumes": 3})
        usage = tables.row("quota_usages")
        tables.set("quota_usages", usage["id"], reserved=1)
        quotas.commit(ids)
        quotas.rollback(more)

        assert tables.used() == {"volumes": (0, 0)}


class TestCount:
    """Rows of ``quota_usages`` that are missing are made from a count."""

    @pytest.fixture(autouse=True)
    def volumes(self, records, tables):
        gold = tables.volume_type("gold")
        mine = {"project_id": PROJECT, "volume_type_id": gold}
        records.volumes.create(id="v1", size=5, **mine)
        records.volumes.create(id="v2", size=7, project_id=PROJECT)
        records.volumes.create(id="v3", size=50, use_quota=False, **mine)
        records.volumes.create(id="v4", size=50, project_id="other")
        records.volumes.destroy(records.volumes.create(size=50, **mine).id)
        records.snapshots.create(volume_id="v1", project_id=PROJECT)
        records.snapshots.create(volume_id="v1", project_id=PROJECT, use_quota=False)
        return gold

    @pytest.mark.parametrize(
        ("resource", "used"), [("volumes", 2), ("gigabytes", 17), ("snapshots", 1)]
    )
    def test_by_project(self, quotas, tables, resource, used):
        quotas.reserve(PROJECT, {resource: 1})

        assert tables.used() == {resource: (used, 1)}

    @pytest.mark.parametrize(
        ("resource", "used"), [("volumes", 1), ("gigabytes", 10), ("snapshots", 1)]
    )
    def test_by_type(self, quotas, tables, volumes, resource, used):
        quotas.reserve(PROJECT, {resource: 1}, volume_type_id=volumes)

        assert tables.used()[f"{resource}_gold"] == (used, 1)

    def test_snapshots_need_not_count_as_gigabytes(self, database, tables):
        records = Records(database, no_snapshot_gb_quota=True)
        records.quotas.reserve(PROJECT, {"gigabytes": 1})

        assert tables.used() == {"gigabytes": (12, 1)}
