# SPDX-License-Identifier: Apache-2.0
"""Rows of the conformance suite for drivers of Cinder's, which read them themselves."""

from __future__ import annotations

import pytest

from tests.conformance import cinders
from tests.conformance.backend import HOST
from tests.conformance.records import snapshot_record, volume_record
from worker.db.database import Database


@pytest.fixture
def rows(database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch) -> cinders.Rows:
    monkeypatch.setattr(cinders, "_database", lambda: database_url)
    return cinders.Rows()


def test_a_record_has_the_volume_type_of_its_row(rows: cinders.Rows) -> None:
    volume = rows.made(volume_record(HOST))
    snapshot = rows.made(snapshot_record(volume))

    assert volume.volume_type.id == volume.volume_type_id == snapshot.volume_type_id
    assert volume.volume_type.extra_specs == {}


def test_a_record_keeps_the_type_that_a_test_gave(rows: cinders.Rows) -> None:
    given = volume_record(HOST, volume_type_id="t", volume_type="its record")

    assert rows.made(given).volume_type == "its record"
