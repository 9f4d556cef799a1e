# SPDX-License-Identifier: Apache-2.0
"""Rows of an installation, its backup service, and records of its backups."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from flows.backup import record, reset
from flows.context import BackupContext
from flows.engine import flow_run
from tests.unit.flows.world.orphans import Left

DRIVER = "holdfast.posix"


class Installation(Left):
    """Rows of an installation and its backup service, whose store takes every record."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.deleted: list[str] = []

    def context(self) -> BackupContext:  # type: ignore[override]
        driver = SimpleNamespace(import_record=self.import_record)
        backend = SimpleNamespace(
            host="node",
            zone="nova",
            service=DRIVER,
            cluster=None,
            is_this_store=lambda service: service == DRIVER,
            require_driver=lambda: driver,
        )
        others: Any = None
        rows: Any = self.records
        service: Any = SimpleNamespace(delete=lambda _request, one: self.deleted.append(one.id))
        return BackupContext(
            request=others,
            backend=backend,  # type: ignore[arg-type]
            messages=others,
            notifier=SimpleNamespace(backup=lambda *_args, **_facts: None),  # type: ignore[arg-type]
            peers=others,
            attacher=others,
            volumes=rows.volumes,
            snapshots=rows.snapshots,
            backups=rows.backups,
            volume_service=service,
            workers=others,
        )

    def import_record(self, backup: Any, driver_info: Any) -> None:
        """Take every record."""

    def run(self, factory: Any, **args: Any) -> flow_run.Outcome:
        return flow_run.run_in_memory(factory, args, self.context())

    def backup(self, status: str = "available", **columns: Any) -> str:
        given = {"id": next(self._ids), "host": "node", "project_id": "p", "size": 1}
        given |= {"volume_id": next(self._ids), "service": DRIVER, "status": status}
        return str(self.records.backups.create(**{**given, **columns}).id)

    def reset(self, backup: str) -> flow_run.Outcome:
        return self.run(reset.flow, backup_id=backup, status="error")


def url(here: Installation, backup: str, **facts: Any) -> str:
    """Return the record of a backup with other facts."""
    found = json.loads(base64.b64decode(record.encode(here.records.backups.get(backup), {})))
    place = {"container": "c", "service_metadata": "p", "object_count": 1}
    return base64.b64encode(json.dumps({**found, **place, **facts}).encode()).decode()
