# SPDX-License-Identifier: Apache-2.0
"""A volume's metadata in a backup: stored, restored, refused."""

from __future__ import annotations

import json
import uuid
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from drivers.interface.errors import (
    BackupDriverException,
    BackupMetadataUnsupportedVersion,
    EncryptedBackupOperationFailed,
)
from tests.unit.db import template
from worker.adapters.backup_metadata import VolumeMetadata
from worker.db.database import Database
from worker.db.records import Records


@pytest.fixture
def records(tmp_path: Path) -> Records:
    url = template.copy_to(tmp_path / "rows.sqlite")
    return Records(Database(url, sqlite_synchronous=False))


def volume(records: Records, **columns: Any) -> str:
    return str(records.volumes.create(size=1, status="available", **columns).id)


class TestGet:
    def test_everything_is_kept(self, records: Records) -> None:
        one = volume(records, display_name="näme", metadata={"k": "v"})
        records.volumes.replace_image_metadata(one, {"os": "linux"})
        kept = json.loads(VolumeMetadata(records).get(one))
        assert kept["version"] == 2
        assert kept["volume-metadata"] == {"k": "v"}
        assert kept["volume-glance-metadata"] == {"os": "linux"}
        base = kept["volume-base-metadata"]
        assert (base["id"], base["display_name"], base["size"]) == (one, "näme", 1)
        assert base["bootable"] is False and "+" not in base["created_at"]

    def test_the_version_is_an_option(self, records: Records) -> None:
        kept = json.loads(VolumeMetadata(records, lambda: 1).get(volume(records)))
        assert kept["version"] == 1


class TestIsBeingMade:
    @pytest.mark.parametrize("status", ["creating", "error", "deleting", "available"])
    def test_it_depends_on_the_status(self, records: Records, status: str) -> None:
        row = records.backups.create(volume_id=volume(records), size=1, status=status)
        assert VolumeMetadata(records).is_being_made(row.id) == (status == "creating")

    def test_one_without_a_row_is_not(self, records: Records) -> None:
        one = "11111111-1111-1111-1111-111111111111"
        assert not VolumeMetadata(records).is_being_made(one)


class TestPut:
    @pytest.mark.parametrize("version", [1, 2])
    def test_what_the_version_says_comes_back(self, records: Records, version: int) -> None:
        source = volume(records, display_name="a", display_description="b", metadata={"k": "v"})
        records.volumes.replace_image_metadata(source, {"os": "linux"})
        metadata = VolumeMetadata(records, lambda: version)
        target = volume(records, display_name="restore_backup_1", metadata={"goes": "away"})
        records.volumes.replace_image_metadata(target, {"old": "goes"})
        metadata.put(target, metadata.get(source))
        row = records.volumes.get(target)
        assert (row.display_name, row.display_description) == ("a", "b")
        assert row.metadata == {"k": "v"}
        assert row.glance_metadata == {"os": "linux"}
        assert row.bootable

    @pytest.mark.parametrize(
        ("kept", "mine", "after"),
        [
            ("a", "restore_backup_x", "a"),
            ("a", None, "a"),
            ("a", "mine", "mine"),
            (None, "restore_backup_x", "restore_backup_x"),
        ],
    )
    def test_names(
        self, records: Records, kept: str | None, mine: str | None, after: str | None
    ) -> None:
        source, target = volume(records, display_name=kept), volume(records, display_name=mine)
        metadata = VolumeMetadata(records)
        metadata.put(target, metadata.get(source))
        assert records.volumes.get(target).display_name == after

    def test_a_part_that_is_missing_restores_nothing(self, records: Records) -> None:
        target = volume(records, display_name="mine", metadata={"k": "v"})
        VolumeMetadata(records).put(target, '{"version": 2}')
        assert records.volumes.get(target).metadata == {"k": "v"}

    def test_metadata_that_does_not_fit_is_told(self, records: Records) -> None:
        text = json.dumps({"version": 2, "volume-metadata": {"k": "v" * 1000}})
        with pytest.raises(BackupDriverException, match="does not fit"):
            VolumeMetadata(records).put(volume(records), text)


class TestCheck:
    @pytest.mark.parametrize("version", [0, 3, "2", None, True, [], {}])
    def test_an_unknown_version(self, records: Records, version: Any) -> None:
        text = json.dumps({"version": version})
        with pytest.raises(BackupMetadataUnsupportedVersion, match="1 and 2 can be restored"):
            VolumeMetadata(records).check("v", text)

    @pytest.mark.parametrize("text", ["", "{", "nonsense", "[" * 100_000])
    def test_what_is_no_json(self, records: Records, text: str) -> None:
        with pytest.raises(BackupDriverException, match="cannot be read"):
            VolumeMetadata(records).check("v", text)

    @pytest.mark.parametrize("part", [7, "x", []])
    @pytest.mark.parametrize("name", ["base-metadata", "metadata", "glance-metadata"])
    def test_a_part_that_is_no_mapping(self, records: Records, name: str, part: Any) -> None:
        text = json.dumps({"version": 2, f"volume-{name}": part})
        with pytest.raises(BackupDriverException, match="is damaged"):
            VolumeMetadata(records).check("v", text)

    @pytest.mark.parametrize(
        ("key", "version", "mine", "fits"),
        [
            ("k", 2, "t1", True),
            ("k", 2, "t2", False),
            ("k", 1, "t2", True),
            (None, 2, "t2", True),
        ],
    )
    def test_an_encrypted_backup_fits_volumes_of_its_type(
        self, records: Records, key: str | None, version: int, mine: str, fits: bool
    ) -> None:
        base = {"encryption_key_id": key, "volume_type_id": "t1"}
        text = json.dumps({"version": version, "volume-base-metadata": base})
        target = volume(records, volume_type_id=mine)
        with (
            nullcontext()
            if fits
            else pytest.raises(
                EncryptedBackupOperationFailed,
                match=f"has the type {mine}, the encrypted backup t1",
            )
        ):
            VolumeMetadata(records).check(target, text)

    @pytest.mark.parametrize("own", [None, "own"])
    def test_a_backup_without_a_key_gets_that_of_its_metadata(
        self, records: Records, own: str | None
    ) -> None:
        target = volume(records)
        rows = {"status": "restoring", "volume_id": target, "size": 1}
        rows |= {"project_id": "p", "user_id": "u", "host": "h"}
        backup = records.backups.create(
            **rows, id=str(uuid.uuid4()), restore_volume_id=target, encryption_key_id=own
        )
        other = records.backups.create(**rows, id=str(uuid.uuid4()))
        base = {"encryption_key_id": "k"}
        base["volume_type_id"] = records.volumes.get(target).volume_type_id
        VolumeMetadata(records).check(
            target, json.dumps({"version": 2, "volume-base-metadata": base})
        )
        assert records.backups.get(backup.id).encryption_key_id == (own or "k")
        assert records.backups.get(other.id).encryption_key_id is None
