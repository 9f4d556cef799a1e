# SPDX-License-Identifier: Apache-2.0
"""A message about a resource of another backend changes nothing, whatever it wants."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from flows import errors
from flows.backup import continue_, create, delete, record, reset, restore
from flows.driver_calls import driver_contract
from flows.host import failover
from flows.volume.image_cache import fill
from flows.volume.migration import retype
from tests.unit.flows.every_cast.cases import CASES, Case
from tests.unit.flows.every_cast.test_calls import CALLS, Call
from tests.unit.flows.world.doubles import Killed
from tests.unit.flows.world.installation import Installation
from tests.unit.flows.world.world import HOST, World

ELSEWHERE = "node@other"
# A failover is of the backend itself, and a filling of the cache makes its volume on it.
FOUND = [case for case in CASES if case.factory not in (failover.flow, fill.flow)]
BY_NAME = pytest.mark.parametrize("case", FOUND, ids=lambda case: case.name)


def moved(world: World) -> None:
    """Give each row of this backend to another one, as a migration or an operator may."""
    for table in (world.db.volumes, *world.db.groups.values()):
        for row in table.rows.values():
            if "host" in row and str(row["host"]).split("#")[0] == HOST.split("#")[0]:
                row["host"] = f"{ELSEWHERE}#pool"


def state(world: World, case: Case | None = None) -> Any:
    """Return the rows, except reservations of a retype: nothing else knows them."""
    tables = (world.db.volumes, world.db.snapshots, world.db.attachments)
    rows = [table.rows for table in (*tables, *world.db.groups.values())]
    given = () if case is not None and case.factory is retype.flow else world.db.quota.open
    return copy.deepcopy((rows, world.db.pairs, world.db.work, given, world.db.quota.used))


def assert_untouched(world: World, before: Any, case: Case | None = None) -> None:
    assert state(world, case) == before
    assert world.driver.calls == []
    assert world.elsewhere.calls == []
    assert world.messaged() == []
    assert world.scheduler.calls == []


@BY_NAME
def test_a_cast_is_refused(case: Case, world: World) -> None:
    args = case.start(world)
    moved(world)
    before = state(world, case)

    outcome = world.run(case.factory, **args)

    assert outcome.failure is not None and outcome.failure.check(errors.Invalid)
    assert_untouched(world, before, case)
    assert world.notified() == []


@BY_NAME
def test_a_cast_that_is_reverted_before_it_was_refused(
    case: Case, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_args: Any) -> None:
        raise Killed("while it asks")

    args = case.start(world)
    moved(world)
    before = state(world, case)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(driver_contract, "require_on_this_backend", killed)
        world.run(case.factory, **args)

    world.run(case.factory, resumed=True, revert=True, **args)

    assert_untouched(world, before, case)


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.name)
def test_a_call_is_refused(call: Call, world: World) -> None:
    call.arrange(world)
    moved(world)
    before = state(world)

    with pytest.raises(errors.Invalid):
        call.run(world)

    assert_untouched(world, before)


class TestBackups:
    """The API writes the host that it asks into the row before it does."""

    @pytest.mark.parametrize("status", ["creating", "available", "deleting", "restoring"])
    @pytest.mark.parametrize(
        ("factory", "more"),
        [
            pytest.param(create.flow, (), id="create"),
            pytest.param(continue_.flow, ("device",), id="continue"),
            pytest.param(delete.flow, (), id="delete"),
            pytest.param(restore.flow, ("volume_id", "volume_is_new"), id="restore"),
            pytest.param(reset.flow, ("status",), id="reset"),
        ],
    )
    def test_of_another_host(
        self, factory: Any, more: tuple[str, ...], status: str, tmp_path: Path
    ) -> None:
        here = Installation(tmp_path)
        volume = here.volume("restoring-backup")
        backup = here.backup(status, host="other", volume_id=volume, restore_volume_id=volume)

        def rows() -> Any:
            one, other = here.records.backups.get(backup), here.records.volumes.get(volume)
            shown = (one.status, one.fail_reason, one.host, one.service, one.updated_at)
            return shown, (other.status, other.previous_status, other.updated_at)

        before = rows()
        known = {
            "volume_id": volume,
            "volume_is_new": False,
            "status": "error",
            "device": {"kind": "volume", "id": volume, "secure": False},
        }

        outcome = here.run(factory, backup_id=backup, **{name: known[name] for name in more})

        assert outcome.failure is not None and outcome.failure.check(errors.Invalid)
        assert "is on other, not on node" in str(outcome.failure.exception_str)
        assert rows() == before

    def test_the_record_of_another_host(self, tmp_path: Path) -> None:
        here = Installation(tmp_path)
        backup = here.backup(host="other")

        outcome = here.run(record.export, backup_id=backup)

        assert outcome.failure is not None and outcome.failure.check(errors.Invalid)
