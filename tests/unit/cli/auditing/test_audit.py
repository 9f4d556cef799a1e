# SPDX-License-Identifier: Apache-2.0
"""holdfast audit: its output, exit status and figures, with a service that lists its objects."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Shell
from worker.audit import last_run
from worker.audit.every_kind import KINDS
from worker.service.start_stop import Service

QUICK = ("--pause", "0", "--recent", "0")
OWNER = "11111111-2222-3333-4444-555555555555"
OTHER = "22222222-2222-3333-4444-555555555555"
THIRD = "33333333-2222-3333-4444-555555555555"


def test_what_is_not_there_is_found_with_exit_status_1(
    holdfast: Shell, service: Service, backend: Path
) -> None:
    columns = {"host": "cli@local#local", "size": 1, "status": "available", "project_id": "p"}
    volume = holdfast.records.volumes.create(id=OWNER, **columns)
    ran = holdfast("audit", *QUICK, "-f", "json")
    (row,) = ran.rows
    figures = last_run.counts_by_kind(holdfast.conf.state_path)

    assert ran.status == 1
    assert row.pop("details").startswith("the volume is available, and cli@local has no object")
    assert row == {
        "kind": "volume_object_missing",
        "resource_type": "volume",
        "resource_id": volume.id,
        "host": "cli@local#local",
        "repair": "",
        "outcome": "",
    }
    assert {name: count for name, count in figures.items() if count} == {row["kind"]: 1}

    (backend / f"volume-{OWNER}").touch()
    holdfast.records.volumes.update(volume.id, size=0)
    sound = holdfast("audit", *QUICK, "-f", "json")
    assert (sound.status, sound.rows) == (0, [])
    assert not any(last_run.counts_by_kind(holdfast.conf.state_path).values())


def test_objects_of_deleted_rows_become_volumes_on_request(
    holdfast: Shell, service: Service, backend: Path
) -> None:
    columns = {"host": "cli@local#local", "size": 1, "status": "available", "project_id": "p"}
    volume = holdfast.records.volumes.create(id=OTHER, **columns)
    holdfast.records.volumes.destroy(volume.id)
    (backend / volume.name).write_bytes(b"data")
    kind = "volume_object_unknown"
    (shown,) = holdfast("audit", *QUICK, "-f", "json").rows
    assert (shown["kind"], shown["repair"], shown["outcome"]) == (kind, "manage_volume_object", "")
    assert (backend / volume.name).exists()
    (fixed,) = holdfast("audit", *QUICK, "--fix", kind, "-f", "json").rows
    record = Path(holdfast.conf.state_path, "audit-repairs.log").read_text().splitlines()

    assert fixed["outcome"] == "repaired"
    (made,) = holdfast.records.volumes.list(display_name=f"audit: {volume.id}")
    assert (backend / made.name).read_bytes()[:4] == b"data"
    assert json.loads(record[-1])["resource_id"] == volume.id
    assert last_run.read(holdfast.conf.state_path).repaired == [[kind, volume.id]]
    assert holdfast("audit", *QUICK).status == 0


def test_rows_are_repaired_by_a_flow_on_request(holdfast: Shell, service: Service) -> None:
    work = holdfast.records.workers
    work.offer("Volume", THIRD, "creating")
    (fixed,) = holdfast(
        *("audit", *QUICK, "--fix", "work_row_of_missing_resource", "-f", "json")
    ).rows

    assert fixed["outcome"] == "repaired"
    assert holdfast("audit", *QUICK).status == 0


def test_a_backend_that_does_not_answer_is_exit_status_2(
    holdfast: Shell, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        type(service.parts.backend), "require_driver", lambda _: 1 / 0, raising=True
    )
    ran = holdfast("audit", *QUICK, "-f", "json")

    assert (ran.status, ran.rows) == (2, [])
    assert "cli@local is not audited" in ran.errors[0]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--kind", "nothing"), "no kind nothing; see: holdfast audit kinds"),
        (("--fix", "volume_of_missing_type"), "volume_of_missing_type has no repair: Retype"),
        (("--backend", "other"), "no backend other in enabled_backends: local"),
    ],
)
def test_unknown_names_are_exit_status_2(
    holdfast: Shell, service: Service, words: tuple[str, ...], text: str
) -> None:
    ran = holdfast("audit", *words)

    assert ran.status == 2
    assert [error.startswith(text) for error in ran.errors] == [True]


def test_kinds_are_listed(holdfast: Shell) -> None:
    rows = holdfast("audit", "kinds", "-f", "json").rows

    assert [row["kind"] for row in rows] == [kind.name for kind in KINDS]


def test_damaged_figures_are_none(tmp_path: Path) -> None:
    assert last_run.counts_by_kind(tmp_path) == {}
    (tmp_path / last_run.FILE).write_text(json.dumps({"other": 1}))

    assert last_run.read(tmp_path) is None
