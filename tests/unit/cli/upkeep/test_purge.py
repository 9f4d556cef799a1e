# SPDX-License-Identifier: Apache-2.0
"""holdfast db purge: rows that were deleted long ago, and to which none refers."""

from __future__ import annotations

import datetime
import uuid

import pytest
import sqlalchemy as sa
from oslo_utils import timeutils

from tests.unit.cli.conftest import Shell
from worker.db import models
from worker.db.database import Database
from worker.db.records.stored_rows import KINDS


def delete(holdfast: Shell, kind: str, resource_id: str, days: int) -> None:
    """Mark a row as deleted so many days ago."""
    table = KINDS[kind]
    at = timeutils.utcnow() - datetime.timedelta(days=days)
    change = sa.update(table).where(table.c.id == resource_id).values(deleted=True, deleted_at=at)
    with Database.from_conf(holdfast.conf).writer() as connection:
        connection.execute(change)


def volume(holdfast: Shell, days: int | None) -> str:
    made = holdfast.records.volumes.create(id=str(uuid.uuid4()), metadata={"a": "b"})
    if days is not None:
        holdfast.records.volumes.destroy(made.id)
        delete(holdfast, "volume", made.id, days)
        with Database.from_conf(holdfast.conf).writer() as connection:
            at = timeutils.utcnow() - datetime.timedelta(days=days)
            of_it = models.volume_metadata.c.volume_id == made.id
            change = sa.update(models.volume_metadata).where(of_it)
            connection.execute(change.values(deleted_at=at))
    return str(made.id)


def is_there(holdfast: Shell, kind: str, resource_id: str) -> bool:
    return holdfast.records.stored.find(kind, resource_id) is not None


def test_old_deleted_rows_go_and_others_stay(holdfast: Shell) -> None:
    old, young, live = (volume(holdfast, days) for days in (40, 5, None))
    planned = holdfast("db", "purge", "30", "--dry-run", "-f", "json")
    there = is_there(holdfast, "volume", old)
    done = holdfast("db", "purge", "30", "-f", "json")
    again = holdfast("db", "purge", "30", "-f", "json")

    assert [one.status for one in (planned, done, again)] == [0, 0, 0], done.errors
    assert there
    counts = {row["table"]: row["rows"] for row in done.rows}
    assert counts["volumes"] == 1
    assert {row["table"]: row["rows"] for row in planned.rows} == counts
    assert again.rows == []
    assert [is_there(holdfast, "volume", one) for one in (old, young, live)] == [False, True, True]


def test_a_row_stays_while_another_one_refers_to_it(holdfast: Shell) -> None:
    volume_id = volume(holdfast, None)
    snapshot = holdfast.records.snapshots.create(volume_id=volume_id)
    delete(holdfast, "volume", volume_id, 40)
    first = holdfast("db", "purge", "30")
    before = is_there(holdfast, "volume", volume_id)
    delete(holdfast, "snapshot", snapshot.id, 40)
    with Database.from_conf(holdfast.conf).writer() as connection:
        metadata = models.volume_metadata
        connection.execute(sa.delete(metadata).where(metadata.c.volume_id == volume_id))
    holdfast("db", "purge", "30")

    assert (first.status, before) == (0, True), first.errors
    assert not is_there(holdfast, "volume", volume_id)


@pytest.mark.parametrize("age", ["-1", "soon", "", "99999"])
def test_an_age_is_a_number_of_days(holdfast: Shell, age: str) -> None:
    with pytest.raises(SystemExit) as caught:
        holdfast("db", "purge", age)

    assert caught.value.code == 2
