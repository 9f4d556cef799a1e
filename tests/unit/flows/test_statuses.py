# SPDX-License-Identifier: Apache-2.0
"""Statuses are plain text wherever they leave the process."""

from __future__ import annotations

import json

import pytest

from flows import statuses
from flows.statuses import BackupStatus, MigrationStatus, VolumeStatus, migrating_volume, target_of


def test_json_has_the_text() -> None:
    told = {"status": VolumeStatus.IN_USE, "when": [BackupStatus.CREATING]}

    assert json.dumps(told) == '{"status": "in-use", "when": ["creating"]}'


def test_a_text_has_the_text() -> None:
    assert f"volume v1 is {VolumeStatus.IN_USE}" == "volume v1 is in-use"
    assert " or ".join((VolumeStatus.ERROR, VolumeStatus.AVAILABLE)) == "error or available"


def test_a_member_equals_its_text_in_tables_too() -> None:
    assert VolumeStatus.IN_USE == "in-use"
    assert {VolumeStatus.IN_USE: 1}["in-use"] == 1
    assert "in-use" in {VolumeStatus.IN_USE}


@pytest.mark.parametrize(
    ("status", "volume_id"),
    [
        (target_of("v1"), "v1"),
        (MigrationStatus.DELETING, None),
        ("", None),
        (None, None),
    ],
)
def test_the_row_of_a_target_names_its_volume(status: object, volume_id: str | None) -> None:
    assert migrating_volume(status) == volume_id
    assert statuses.target_of("v1") == "target:v1"
