# SPDX-License-Identifier: Apache-2.0
"""Rows of the conformance suite for drivers of Cinder's, which read them themselves."""

from __future__ import annotations

import pytest

from tests.conformance import cinders
from tests.conformance.backend import HOST
from tests.conformance.records import snapshot_record, volume_record
from worker.db.database import Database


def test_a_record_has_the_volume_type_of_its_row(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cinders, "_database", lambda: database_url)
    rows = cinders.Rows()
    volume = rows.made(volume_record(HOST))
    snapshot = rows.made(snapshot_record(volume))

    assert volume.volume_type.id == volume.volume_type_id == snapshot.volume_type_id
    assert volume.volume_type.extra_specs == {}
