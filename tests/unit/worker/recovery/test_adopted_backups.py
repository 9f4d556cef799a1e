# SPDX-License-Identifier: Apache-2.0
"""The rows of backups whose operations this host has adopted."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from taskflow.persistence.models import FlowDetail

from flows.backup import continue_, create, delete, restore
from flows.errors import ProcessStopping, Unavailable
from tests.unit.flows.world.orphans import Left
from worker.endpoints.arguments import on_backup
from worker.recovery import adopted_backups
from worker.recovery.adopted_backups import AdoptedBackups

MINE, DEAD, OTHER_STORE = "h2", "h1", "h3"


class Rows(Left):
    """Rows of a dead host."""

    def backup(self, status: str, host: str | None = DEAD) -> str:
        columns = {"host": host, "volume_id": "v", "size": 1, "project_id": "p"}
        return str(self.records.backups.create(id=str(uuid.uuid4()), status=status, **columns).id)

    def host(self, backup_id: str) -> str:
        return str(self.records.backups.find(backup_id).host)


@pytest.fixture
def rows(tmp_path: Path) -> Rows:
    return Rows(tmp_path)


def adopted(rows: Rows, stopping: threading.Event | None = None) -> AdoptedBackups:
    return AdoptedBackups(rows.records, MINE, lambda: {DEAD}, stopping or threading.Event())


def flow(factory: Callable[..., Any], method: str, backup_id: str, **args: Any) -> FlowDetail:
    detail = FlowDetail(method, str(uuid.uuid4()))
    operation = on_backup(factory, {"id": backup_id}, **args)
    detail.meta = {**operation.to_meta(), "method": method}
    return detail


DEVICE = {"kind": "volume", "id": "v", "secure": True}
KINDS = [
    (create.flow, "create_backup", "creating", {}),
    (continue_.flow, "continue_backup", "creating", {"device": DEVICE}),
    (restore.flow, "restore_backup", "restoring", {"volume_id": "v", "volume_is_new": False}),
    (delete.flow, "delete_backup", "deleting", {}),
]


@pytest.mark.parametrize(("factory", "method", "status", "args"), KINDS)
def test_a_backup_gets_the_host_of_its_operation(
    rows: Rows, factory: Callable[..., Any], method: str, status: str, args: dict[str, Any]
) -> None:
    running, moved_on = rows.backup(status), rows.backup("available")
    flows = [flow(factory, method, one, **args) for one in (running, moved_on)]
    for _twice in range(2):
        adopted(rows).take(flows)

    assert (rows.host(running), rows.host(moved_on)) == (MINE, DEAD)


def test_a_later_operation_keeps_its_host(rows: Rows) -> None:
    """As of the deletion of a running backup, which the API sends to a living host."""
    backup = rows.backup("deleting")
    adopted(rows).take([flow(continue_.flow, "continue_backup", backup, device=DEVICE)])

    assert rows.host(backup) == DEAD


def test_a_backup_of_a_host_outside_the_pool_stays_there(rows: Rows) -> None:
    backup = rows.backup("deleting", OTHER_STORE)
    adopted(rows).take([flow(delete.flow, "delete_backup", backup)])

    assert rows.host(backup) == OTHER_STORE


def test_an_outage_is_waited_for(rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adopted_backups, "PAUSE", 0.0)
    backup, write, left = rows.backup("deleting"), rows.records.backups.adopt, [2]

    def away(*args: Any, **how: Any) -> bool:
        if left[0]:
            left[0] -= 1
            raise Unavailable("no route to the database")
        return write(*args, **how)

    monkeypatch.setattr(rows.records.backups, "adopt", away)
    adopted(rows).take([flow(delete.flow, "delete_backup", backup)])
    assert rows.host(backup) == MINE

    left[0], stopping = 1, threading.Event()
    stopping.set()
    with pytest.raises(ProcessStopping):
        adopted(rows, stopping).take([flow(delete.flow, "delete_backup", backup)])
