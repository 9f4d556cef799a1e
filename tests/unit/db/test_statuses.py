# SPDX-License-Identifier: Apache-2.0
"""Members of the enums of statuses are written, compared and read as plain text."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from flows.errors import StatusChanged
from flows.statuses import (
    AttachStatus,
    BackupStatus,
    GroupStatus,
    MigrationStatus,
    ReplicationStatus,
    SnapshotStatus,
    VolumeStatus,
    target_of,
)
from tests.unit.db.world import PROJECT
from worker.db import models


@pytest.fixture
def volume(records):
    """A volume that migrates."""
    return records.volumes.create(
        id="v1",
        host="h@b#p",
        size=1,
        project_id=PROJECT,
        status=VolumeStatus.IN_USE,
        attach_status=AttachStatus.ATTACHED,
        migration_status=MigrationStatus.STARTING,
        replication_status=ReplicationStatus.FAILED_OVER,
    )


def test_a_member_becomes_plain_text(tables, volume):
    row = tables.row("volumes", id="v1")

    assert type(row["status"]) is str
    assert type(row["attach_status"]) is str
    assert (row["status"], row["attach_status"]) == ("in-use", "attached")
    assert (row["migration_status"], row["replication_status"]) == ("starting", "failed-over")


def test_a_status_changes_from_a_member_to_a_member(records, volume):
    records.volumes.transition("v1", VolumeStatus.UPLOADING, when=(VolumeStatus.IN_USE,))

    assert records.volumes.get("v1").status == "uploading"


def test_a_lost_change_names_the_text(records, volume):
    with pytest.raises(StatusChanged, match=r"volume v1 is in-use, not available or error$"):
        records.volumes.transition(
            "v1", VolumeStatus.DELETING, when=(VolumeStatus.ERROR, VolumeStatus.AVAILABLE)
        )


def test_migration_statuses(records, tables, volume):
    when = (None, MigrationStatus.STARTING)
    records.volumes.migrate("v1", MigrationStatus.MIGRATING, when=when)
    records.volumes.create(
        id="v2", size=1, project_id=PROJECT, migration_status=target_of("v1"), use_quota=False
    )

    assert tables.row("volumes", id="v1")["migration_status"] == "migrating"
    assert records.volumes.copy_of("v1").id == "v2"


def test_replication_statuses_of_a_group(records, tables, volume):
    records.groups.create(
        id="g1", host="h@b#p", project_id=PROJECT, replication_status=ReplicationStatus.ENABLING
    )
    records.groups.set_replication(
        "g1",
        ReplicationStatus.ERROR,
        when=ReplicationStatus.ENABLING,
        status=GroupStatus.ERROR,
    )

    row = tables.row("groups", id="g1")
    assert (row["status"], row["replication_status"]) == ("error", "error")


def test_backups_by_status(records):
    records.backups.create(
        id="b1", volume_id="v1", project_id=PROJECT, status=BackupStatus.RESTORING, size=1
    )

    assert [one.id for one in records.backups.list(status=BackupStatus.RESTORING)] == ["b1"]


def test_rows_among_statuses(records, volume):
    records.snapshots.create(id="s1", volume_id="v1", status=SnapshotStatus.DELETING)
    among = [SnapshotStatus.DELETING, SnapshotStatus.RESTORING]

    found = records.on_host("h@b").unsettled("snapshot", column="status", among=among)

    assert [one.id for one in found] == ["s1"]


def test_a_work_row_has_the_text(records, tables, volume):
    records.workers.offer("Volume", "v1", VolumeStatus.CREATING)

    row = tables.row("workers", resource_id="v1")
    assert type(row["status"]) is str
    assert row["status"] == "creating"


def test_a_member_is_bound_without_a_check_of_its_column(database):
    statement = sa.select(sa.literal(VolumeStatus.ERROR_BACKING_UP, sa.String()))

    (row,) = database.rows(statement)

    assert row[0] == "error_backing-up"


def test_a_statement_compares_with_a_member(database, volume):
    table = models.volumes
    statement = sa.select(table.c.id).where(
        table.c.status.in_((VolumeStatus.IN_USE, VolumeStatus.ERROR)),
        table.c.attach_status == AttachStatus.ATTACHED,
    )

    assert [row.id for row in database.rows(statement)] == ["v1"]
