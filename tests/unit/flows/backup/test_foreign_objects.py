# SPDX-License-Identifier: Apache-2.0
"""Objects that a row, a record or a message names are read and deleted only if they are its own."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from flows.backup import continue_, record
from flows.errors import InvalidInput
from tests.unit.flows.world.installation import DRIVER, Installation, url


@pytest.fixture
def here(tmp_path: Path) -> Installation:
    return Installation(tmp_path)


def temporary(volume: str, **columns: Any) -> dict[str, Any]:
    """Return the columns with which a service marks a temporary volume."""
    return {"display_name": f"backup-vol-{volume}", "use_quota": False, **columns}


class TestImport:
    @pytest.mark.parametrize("status", ["available", "in-use", "deleting"])
    def test_a_foreign_volume_stays_after_import_and_reset(
        self, here: Installation, status: str
    ) -> None:
        foreign = here.volume(status, project_id="other")
        snapshot = here.snapshot(foreign, "available")
        backup = here.backup("creating")
        named = {"temp_volume_id": foreign, "temp_snapshot_id": snapshot}
        named |= {"restore_volume_id": foreign, "host": "evil", "status": "restoring"}
        args = {"backup_service": DRIVER, "backup_hosts": []}
        told = url(here, backup, **named, availability_zone="evil", service="evil")

        assert here.run(record.import_, backup_id=backup, backup_url=told, **args).failure is None
        row = here.records.backups.get(backup)
        assert (row.status, row.host, row.service) == ("available", "node", DRIVER)
        assert row.temp_volume_id is row.temp_snapshot_id is row.restore_volume_id is None
        assert here.reset(backup).failure is None
        assert here.deleted == []
        assert here.status(foreign) == status
        assert here.status(snapshot, "snapshot") == "available"


class TestReset:
    """A row that was imported before may name anything."""

    @pytest.mark.parametrize(
        "wrong",
        [
            {"display_name": "data"},
            {"display_name": "backup-vol-another"},
            {"use_quota": True},
            {"project_id": "other"},
            {"host": "elsewhere@backend#p"},
            {"source_volid": "another"},
            {"snapshot_id": "another"},
        ],
        ids=str,
    )
    def test_a_volume_that_was_not_made_for_it_stays(
        self, here: Installation, wrong: dict[str, Any], caplog: pytest.LogCaptureFixture
    ) -> None:
        volume = here.volume("available")
        foreign = here.volume("backing-up", **{**temporary(volume), **wrong})
        backup = here.backup(volume_id=volume, temp_volume_id=foreign)

        assert here.reset(backup).failure is None
        assert here.deleted == []
        assert here.status(foreign) == "backing-up"
        assert here.records.backups.get(backup).temp_volume_id is None
        [warning] = [one for one in caplog.records if one.levelno == logging.WARNING]
        assert foreign in warning.getMessage()

    @pytest.mark.parametrize(
        "wrong",
        [
            {"display_name": "data"},
            {"use_quota": True},
            {"project_id": "other"},
            {"volume_id": "00000000-aaaa-bbbb-cccc-000000000000"},
        ],
        ids=str,
    )
    def test_a_snapshot_that_was_not_made_for_it_stays(
        self, here: Installation, wrong: dict[str, Any]
    ) -> None:
        another, volume = here.volume("available"), here.volume("available")
        assert another == "00000000-aaaa-bbbb-cccc-000000000000"
        marked = {"display_name": f"backup-snap-{volume}", "use_quota": False}
        columns = {"volume_id": volume, **marked, **wrong}
        foreign = here.snapshot(status="available", **columns)
        backup = here.backup(volume_id=volume, temp_snapshot_id=foreign)

        assert here.reset(backup).failure is None
        assert here.deleted == []
        assert here.status(foreign, "snapshot") == "available"

    @pytest.mark.parametrize("status", ["in-use", "attaching", "reserved", "detaching"])
    def test_one_that_is_in_use_stays_and_is_named_still(
        self, here: Installation, status: str
    ) -> None:
        volume = here.volume("available")
        made = here.volume(status, **temporary(volume))
        backup = here.backup(volume_id=volume, temp_volume_id=made)

        assert here.reset(backup).failure is None
        assert (here.deleted, here.status(made)) == ([], status)
        assert here.records.backups.get(backup).temp_volume_id == made

    def test_one_with_an_attachment_stays(self, here: Installation) -> None:
        volume = here.volume("available")
        made = here.volume("available", **temporary(volume))
        here.records.attachments.create(volume_id=made, attach_status="reserved")
        backup = here.backup(volume_id=volume, temp_volume_id=made)

        here.reset(backup)
        assert (here.deleted, here.status(made)) == ([], "available")

    def test_that_of_another_backup_which_is_being_made_stays(self, here: Installation) -> None:
        volume = here.volume("backing-up")
        made = here.volume("backing-up", **temporary(volume))
        here.backup("creating", volume_id=volume, temp_volume_id=made)
        backup = here.backup(volume_id=volume, temp_volume_id=made)

        here.reset(backup)
        assert (here.deleted, here.status(made)) == ([], "backing-up")

    @pytest.mark.parametrize("status", ["available", "backing-up", "error", "deleting"])
    @pytest.mark.parametrize("gone", [False, True])
    def test_its_own_goes(self, here: Installation, status: str, gone: bool) -> None:
        volume = here.volume("available")
        made = here.volume(status, **temporary(volume, source_volid=volume))
        backup = here.backup(volume_id=volume, temp_volume_id=made)
        if gone:
            here.records.volumes.destroy(volume)

        assert here.reset(backup).failure is None
        assert (here.deleted, here.status(made)) == ([made], "deleting")
        assert here.records.backups.get(backup).temp_volume_id is None


class TestSource:
    def test_a_message_names_a_foreign_volume(self, here: Installation) -> None:
        volume, foreign = here.volume("backing-up"), here.volume("available", project_id="other")
        backup = here.records.backups.get(here.backup("creating", volume_id=volume))
        snapshot = here.snapshot(foreign, "available")

        for kind, one in (("volume", foreign), ("snapshot", snapshot)):
            with pytest.raises(InvalidInput, match="neither its source nor was it made for it"):
                continue_.source_of(here.context(), backup, {"kind": kind, "id": one})

    def test_its_own_sources_are_read(self, here: Installation) -> None:
        volume = here.volume("backing-up")
        backup = here.records.backups.get(here.backup("creating", volume_id=volume))
        made, snapshot = here.volume("available", **temporary(volume)), here.snapshot(volume, "x")

        for kind, one in (("volume", volume), ("volume", made), ("snapshot", snapshot)):
            assert continue_.source_of(here.context(), backup, {"kind": kind, "id": one}).id == one
