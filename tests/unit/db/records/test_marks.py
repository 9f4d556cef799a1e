# SPDX-License-Identifier: Apache-2.0
"""Marks of operations in ``workers``: compared and deleted with the status that they protect."""

from __future__ import annotations

import pytest

from flows.claims import FIRST_MARK, mark_of
from flows.errors import StatusChanged
from tests.unit.db.records.test_service_records import WHO

MARK, OTHER = mark_of("one operation"), mark_of("another")


@pytest.fixture
def marks(records):
    """The work rows of a service, and a volume that is being extended."""
    records.volumes.create(id="v1", status="extending")
    return records.work_of(records.services.ensure(**WHO))


def mark(marks, number=MARK, unless_marked=False):
    return marks.mark("Volume", "v1", "extending", number, unless_marked=unless_marked)


def end(records, number=MARK, done=True):
    records.volumes.transition("v1", "available", when=("extending",), done=done, mark=number)


def test_a_mark_fits_the_column_and_no_count_reaches_it():
    assert {FIRST_MARK <= mark_of(str(n)) < 2 * FIRST_MARK < 2**31 for n in range(1000)} == {True}


def test_a_mark_makes_the_row_or_takes_it(records, tables, marks):
    assert mark(marks)
    records.workers.offer("Volume", "v1", "extending")
    assert not marks.is_marked("Volume", "v1", MARK)
    assert mark(marks, unless_marked=True)

    [row] = tables.rows("workers", resource_id="v1")
    assert (row["race_preventer"], row["service_id"], row["status"]) == (
        MARK,
        marks._owner.id,
        "extending",
    )


def test_a_resumed_operation_leaves_the_mark_of_another(marks):
    mark(marks, OTHER)

    assert not mark(marks, unless_marked=True)
    assert marks.is_marked("Volume", "v1", OTHER)
    assert mark(marks)


def test_the_end_of_the_status_deletes_the_mark(records, tables, marks):
    mark(marks)
    end(records)

    assert tables.rows("workers", resource_id="v1") == []
    end(records)  # a second try, after the answer to the commit was lost


@pytest.mark.parametrize("there", [True, False])
def test_the_status_of_a_later_request_is_not_ended(records, marks, there):
    if there:
        mark(marks, OTHER)

    with pytest.raises(StatusChanged, match="claimed by another operation"):
        end(records)

    assert records.volumes.get("v1").status == "extending"
    assert marks.is_marked("Volume", "v1", OTHER) == there


def test_a_second_try_leaves_the_mark_of_a_later_operation(records, marks):
    mark(marks)
    end(records)
    mark(marks, OTHER)
    end(records)

    assert marks.is_marked("Volume", "v1", OTHER)


def test_another_phase_keeps_the_mark(records, marks):
    mark(marks)
    end(records, done=False)

    assert marks.is_marked("Volume", "v1", MARK)


def test_a_migration_status_is_written_under_the_mark(records, marks):
    records.volumes.update("v1", migration_status="starting")
    with pytest.raises(StatusChanged):
        records.volumes.migrate("v1", "migrating", when=("starting",), mark=MARK)
    assert records.volumes.get("v1").migration_status == "starting"

    mark(marks)
    records.volumes.migrate("v1", "migrating", when=("starting",), mark=MARK)
    assert marks.is_marked("Volume", "v1", MARK)


def test_only_the_own_mark_is_removed(marks):
    mark(marks, OTHER)
    marks.unmark("Volume", "v1", MARK)
    assert marks.is_marked("Volume", "v1", OTHER)

    marks.unmark("Volume", "v1", OTHER)
    assert not marks.is_marked("Volume", "v1", OTHER)


def test_a_group_is_marked_as_well(records, tables, marks):
    records.groups.create(id="g1", status="updating")
    with pytest.raises(StatusChanged):
        records.groups.transition("g1", "available", when=("updating",), mark=MARK)

    marks.mark("Group", "g1", "updating", MARK, unless_marked=False)
    records.groups.transition("g1", "available", when=("updating",), mark=MARK)

    assert records.groups.get("g1").status == "available"
    assert tables.rows("workers", resource_id="g1") == []
