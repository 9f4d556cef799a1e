# SPDX-License-Identifier: Apache-2.0
"""Resources in transient statuses, as monitors count them."""

from __future__ import annotations

import datetime

import pytest
from oslo_utils import timeutils

from worker.db.criteria import BackendRows

VOLUMES, BACKUPS = "cinder-volume", "cinder-backup"


def ago(minutes):
    return timeutils.utcnow() - datetime.timedelta(minutes=minutes)


def volume(tables, **columns):
    return tables.add("volumes", volume_type_id="t", **columns)


def found(records, binary, place):
    return {
        (one.resource, one.status): (one.count, round(one.oldest / 60))
        for one in records.transient(binary, place)
    }


def test_each_status_has_its_number_and_its_oldest_row(records, tables):
    volume(tables, host="h@b#p", status="deleting", updated_at=ago(30))
    volume(tables, host="h@b#p", status="deleting", updated_at=ago(5))
    volume(tables, host="h@b", status="creating", created_at=ago(7))
    volume(tables, host="h@b", status="error", updated_at=ago(99))
    volume(tables, host="h@b", status="deleting", updated_at=ago(99), deleted=True)
    volume(tables, host="h@b2", status="deleting", updated_at=ago(99))
    kept = volume(tables, host="h@b", status="available", updated_at=ago(99))
    tables.add(
        "snapshots", volume_type_id="t", volume_id=kept, status="creating", updated_at=ago(3)
    )
    group = tables.add(
        "groups", group_type_id="t", host="h@b", status="updating", updated_at=ago(4)
    )
    tables.add(
        "group_snapshots", group_type_id="t", group_id=group, status="deleting", updated_at=ago(2)
    )

    assert found(records, VOLUMES, BackendRows("h@b")) == {
        ("volume", "deleting"): (2, 30),
        ("volume", "creating"): (1, 7),
        ("snapshot", "creating"): (1, 3),
        ("group", "updating"): (1, 4),
        ("group_snapshot", "deleting"): (1, 2),
    }


def test_a_cluster_counts_the_rows_of_all_its_hosts(records, tables):
    for host in ("h1@b", "h2@b"):
        volume(tables, host=host, cluster_name="c@b", status="creating", updated_at=ago(1))

    assert found(records, VOLUMES, BackendRows("h1@b", "c@b")) == {("volume", "creating"): (2, 1)}


@pytest.mark.parametrize("status", ["creating", "restoring", "deleting"])
def test_a_backup_service_counts_its_backups(records, tables, status):
    tables.add("backups", volume_id="v", host="h", status=status, updated_at=ago(8))
    tables.add("backups", volume_id="v", host="other", status=status, updated_at=ago(8))

    assert found(records, BACKUPS, BackendRows("h")) == {("backup", status): (1, 8)}
