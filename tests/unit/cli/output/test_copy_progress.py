# SPDX-License-Identifier: Apache-2.0
"""How far a copy is, as a person reads it."""

from __future__ import annotations

import pytest
from oslo_utils import units

from drivers.interface.records import Record
from tests.unit.cli.conftest import Shell
from worker.cli.access import Access, NoJournal
from worker.cli.output import copy_progress
from worker.cli.output.copy_progress import TransferProgress
from worker.journal.journal import Journal


@pytest.mark.parametrize(
    ("told", "text"),
    [
        (
            TransferProgress(0.37, 40 * units.Gi, 38.6),
            "37 %, 14.8 GiB of 40.0 GiB, 412 MB/s, 0:01:05 left",
        ),
        (TransferProgress(0.0, units.Gi, 0.0), "0 %, 0 B of 1.0 GiB, "),
        (TransferProgress(1.0, 2048, 1.0), "100 %, 2 KiB of 2 KiB, 0 MB/s, 0:00:00 left"),
    ],
)
def test_it_has_percent_bytes_and_speed(told: TransferProgress, text: str) -> None:
    assert str(told) == text


def test_a_list_has_them_for_what_is_under_way_alone(
    holdfast: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    def row(status: str) -> Record:
        facts = {"volume_id": "v", "user_id": "u", "project_id": "p", "size": 40}
        return holdfast.records.backups.create(**facts, status=status)

    moving, still = row("creating"), row("available")
    monkeypatch.setattr(
        copy_progress,
        "under_way",
        lambda _access, gib, _warn: {
            one: TransferProgress(0.37, units.Gi * gib[one], 38.6) for one in gib
        },
    )
    told = {one["id"]: one for one in holdfast("backup", "list", "-f", "json").rows}
    columns = ("done", "copied", "speed", "left")

    assert [told[moving.id][name] for name in columns] == [
        "37 %",
        "14.8 GiB",
        "412 MB/s",
        "0:01:05",
    ]
    assert [told[still.id][name] for name in columns] == ["", "", "", ""]


def test_a_journal_that_cannot_be_read_is_a_warning_beside_the_list(
    holdfast: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = {"volume_id": "v", "user_id": "u", "project_id": "p", "size": 40}
    holdfast.records.backups.create(**facts, status="creating")

    def refused(_access: Access) -> Journal:
        raise NoJournal("may not be read")

    monkeypatch.setattr(Access, "journal", property(refused))
    shown = holdfast("backup", "list", "-f", "json")

    assert shown.rows[0]["done"] == ""
    assert any("no progress is shown: may not be read" in line for line in shown.errors)
