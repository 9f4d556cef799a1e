# SPDX-License-Identifier: Apache-2.0
"""Values at the boundaries of each column of an imported record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.hostile.records.test_imported_records import OURS, Store, own
from tests.unit.flows.world.installation import url

FOREIGN = "22222222-2222-2222-2222-222222222222"
VALUES: dict[str, Any] = {
    "below zero": -1,
    "above 32 bits": 1 << 31,
    "above 64 bits": 1 << 63,
    "huge": 10**400,
    "fraction": 1.5,
    "infinite": float("inf"),
    "no number": float("nan"),
    "true": True,
    "list": [FOREIGN],
    "mapping": {"like": "%"},
    "NUL": "a\0b",
    "surrogate": "\ud800",
    "fullwidth": FOREIGN.replace("2", "\uff12"),
    "combining": "e\u0301" * 200,
    "long": "x" * 256,
    "upper": FOREIGN.upper(),
    "line": FOREIGN + "\n",
    "path": "../../etc/passwd",
    "empty": "",
}
COLUMNS = (
    *("id", "user_id", "project_id", "volume_id", "host", "container", "parent_id", "status"),
    *("size", "display_name", "service_metadata", "service", "object_count", "snapshot_id"),
    *("temp_volume_id", "temp_snapshot_id", "num_dependent_backups", "data_timestamp"),
    *("restore_volume_id", "metadata", "encryption_key_id", "created_at", "deleted"),
)


@pytest.mark.parametrize("column", COLUMNS)
def test_no_value_leads_to_another_object(tmp_path: Path, column: str) -> None:
    here = Store(tmp_path)
    other = here.backup(container="c", service_metadata=f"volume_x_backup_{FOREIGN}")
    before = dict(here.records.backups.get(other))
    for name, value in {**VALUES, "another": other}.items():
        backup = here.backup("creating")
        row = here.imported(backup, url(here, backup, **{**own(backup), column: value}))

        assert row.status in ("available", "error"), name
        assert row.id == backup
        kept = OURS if row.status == "available" else {**OURS, "availability_zone": None}
        assert {key: row[key] for key in OURS} == kept, name
        assert row.parent_id is None and row.snapshot_id is None, name
        assert type(row.size) is int and 0 < row.size < 1 << 31, name
        assert (row.service_metadata or backup).endswith(backup), name
        if row.status == "available":
            here.driver.delete_backup(row)
    assert dict(here.records.backups.get(other)) == before
