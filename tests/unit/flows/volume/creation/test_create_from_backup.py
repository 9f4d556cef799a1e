# SPDX-License-Identifier: Apache-2.0
"""A creation from a backup hands its volume over to the restore, which may begin at once."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from drivers.interface.records import Record
from flows.backup.restore import BeginRestoreBackup
from flows.claims import FIRST_MARK, HeldClaim, mark_of
from flows.errors import StatusChanged
from flows.volume import create_from_backup
from tests.unit.flows.world import records
from tests.unit.flows.world.world import World

OF_RESTORE = mark_of("restore")
WORK = ("Volume", "v1")
ARGS = {"request_spec": None, "filter_properties": None, "allow_reschedule": True}


@pytest.fixture
def new(world: World) -> World:
    """A volume that is to be created from the backup b1."""
    backup = {"id": "b1", "size": 1, "status": "available", "host": "h", "restore_volume_id": None}
    row = Record("backup", backup)
    world.backups = SimpleNamespace(
        get=lambda _id: row, find=lambda _id: row, transition=lambda _id, _to, **_columns: None
    )
    world.backup_service = SimpleNamespace(alive=lambda _zone, host: host)
    world.driver.missing.add("create_volume_from_backup")
    world.add_volume(status="creating", made=False)
    return world


def run(world: World) -> Any:
    return world.run(create_from_backup.flow, volume_id="v1", backup_id="b1", **ARGS)


def take(world: World, *, resumed: bool) -> None:
    """Write the restore's mark, as its first step does."""
    claim = BeginRestoreBackup("begin").claim({"volume_id": "v1"})
    assert claim is not None
    HeldClaim(claim, OF_RESTORE).take(world.context(resumed))


def test_a_restore_that_begins_at_once_keeps_its_mark(new: World) -> None:
    new.backup_service.restore_backup = lambda *_args: take(new, resumed=False)

    assert run(new).state == "done"
    assert new.db.work == {WORK: OF_RESTORE}


def test_no_mark_stays_where_the_restore_begins_later(new: World) -> None:
    new.backup_service.restore_backup = lambda *_args: None

    assert run(new).state == "done"
    assert new.db.work == {}


@pytest.mark.parametrize("resumed", [False, True])
def test_a_restore_takes_the_place_of_the_mark_of_the_creation(new: World, resumed: bool) -> None:
    """Both services may have been killed between the message and the begin of the restore."""
    records.Work(new.db).mark(*WORK, "creating", FIRST_MARK, unless_marked=False)

    take(new, resumed=resumed)

    assert new.db.work == {WORK: OF_RESTORE}


def test_a_resumed_restore_does_not_replace_the_mark_of_another_one(new: World) -> None:
    new.volume()["status"] = "restoring-backup"
    records.Work(new.db).mark(*WORK, "restoring-backup", FIRST_MARK, unless_marked=False)

    with pytest.raises(StatusChanged):
        take(new, resumed=True)
