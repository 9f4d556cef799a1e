# SPDX-License-Identifier: Apache-2.0
"""holdfast … reset-status: refused while an operation works on the resource."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from oslo_config import cfg

from flows.volume import create
from tests.unit.cli.conftest import Shell
from worker.journal.journal import Journal
from worker.rpc.operation import Operation

HOST = "cli@local#local"


@pytest.fixture(autouse=True)
def journal(conf: cfg.ConfigOpts) -> Iterator[Journal]:
    """The journal of the commands."""
    opened = Journal(conf.journal.connection)
    opened.upgrade()
    yield opened
    opened.close()


def volume(holdfast: Shell, status: str, host: str = HOST) -> str:
    made = holdfast.records.volumes.create(id=str(uuid.uuid4()), host=host, status=status, size=1)
    return str(made.id)


def status(holdfast: Shell, volume_id: str) -> str:
    return str(holdfast.records.volumes.get(volume_id).status)


def test_a_status_without_an_operation_is_written(holdfast: Shell) -> None:
    volume_id = volume(holdfast, "extending")
    holdfast.records.workers.offer("Volume", volume_id, "extending")
    ran = holdfast("volume", "reset-status", volume_id, "--to", "error", "-f", "json")

    assert ran.status == 0
    assert ran.rows == [
        {
            "kind": "volume",
            "id": volume_id,
            "from_status": "extending",
            "to_status": "error",
            "outcome": "written",
        }
    ]
    assert status(holdfast, volume_id) == "error"
    assert holdfast.records.stored.work("volume", volume_id) is None


def test_an_operation_that_runs_is_named(holdfast: Shell, journal: Journal) -> None:
    volume_id = volume(holdfast, "creating")
    args = {"volume_id": volume_id}
    operation = Operation(create.flow, ("volume", volume_id), args, method="create_volume")
    detail = journal.accept(uuid.uuid4().hex, "cli@local/0", operation)
    assert detail is not None
    refused = holdfast("volume", "reset-status", volume_id, "--to", "error")
    after = status(holdfast, volume_id)
    forced = holdfast("volume", "reset-status", volume_id, "--to", "error", "--force")

    assert (refused.status, after) == (1, "creating")
    assert f"holdfast flow cancel {detail.uuid}" in refused.errors[0]
    assert (forced.status, status(holdfast, volume_id)) == (0, "error")


def test_the_journal_of_another_host_is_not_ours(holdfast: Shell) -> None:
    volume_id = volume(holdfast, "creating", "other@local#local")
    ran = holdfast("volume", "reset-status", volume_id, "--to", "error")

    assert (ran.status, status(holdfast, volume_id)) == (1, "creating")
    assert "are in the journal of other, not of cli" in ran.errors[0]


@pytest.mark.parametrize(("attached", "to"), [(True, "available"), (False, "in-use")])
def test_a_status_agrees_with_the_attachments(holdfast: Shell, attached: bool, to: str) -> None:
    volume_id = volume(holdfast, "error")
    if attached:
        at = holdfast.records.attachments
        at.create(volume_id=volume_id, instance_uuid="i", attach_status="attached")
    ran = holdfast("volume", "reset-status", volume_id, "--to", to)

    assert (ran.status, status(holdfast, volume_id)) == (1, "error")


@pytest.mark.parametrize("to", ["creating", "deleted", "nonsense", ""])
def test_a_transient_status_is_wrong_usage(holdfast: Shell, to: str) -> None:
    volume_id = volume(holdfast, "error")
    with pytest.raises(SystemExit) as caught:
        holdfast("volume", "reset-status", volume_id, "--to", to)

    assert caught.value.code == 2


def test_a_status_that_changed_meanwhile_stays(
    holdfast: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume_id, volumes = volume(holdfast, "error"), type(holdfast.records.volumes)
    transition = volumes.transition

    def late(self: object, which: str, to: str, **more: object) -> None:
        holdfast.records.volumes.update(which, status="deleting")
        transition(self, which, to, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(volumes, "transition", late)
    ran = holdfast("volume", "reset-status", volume_id, "--to", "available")

    assert (ran.status, status(holdfast, volume_id)) == (1, "deleting")


@pytest.mark.parametrize("kind", ["snapshot", "backup", "group"])
def test_other_kinds_are_written(holdfast: Shell, kind: str) -> None:
    owners = {"snapshot": {"volume_id": volume(holdfast, "available")}}
    owners |= {"backup": {"volume_id": "v", "host": "cli"}, "group": {"host": HOST}}
    rows = getattr(holdfast.records, f"{kind}s")
    made = rows.create(id=str(uuid.uuid4()), status="deleting", **owners[kind])
    ran = holdfast(kind, "reset-status", made.id, "--to", "error")

    assert ran.status == 0, ran.errors
    assert rows.get(made.id).status == "error"
