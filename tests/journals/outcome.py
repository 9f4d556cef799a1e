# SPDX-License-Identifier: Apache-2.0
"""The outcome of an operation: the rows of its project, and the objects of its drivers.

The rows are read by plain SQL, as Cinder's API finds them.
"""

from __future__ import annotations

import re
import sqlite3
from typing import Any

from tests.journals.service import Service

_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TABLES = {
    "volumes": ("size", "attach_status", "migration_status"),
    "snapshots": (),
    "backups": ("restore_volume_id", "temp_volume_id", "temp_snapshot_id"),
    "groups": ("replication_status",),
    "group_snapshots": (),
    "consistencygroups": (),
    "cgsnapshots": (),
}
"""Tables of a project's resources, and the columns that are compared besides the status."""

_ATTACHMENTS = """
    SELECT one.* FROM volume_attachment one JOIN volumes ON volumes.id = one.volume_id
    WHERE volumes.project_id = ?
"""


def ids(service: Service) -> set[str]:
    """Return the ids of all rows of the project."""
    ours = {
        str(row["id"])
        for table in _TABLES
        for row in _rows(service, f'SELECT id FROM "{table}" WHERE project_id = ?', service.project)
    }
    return ours | {row["id"] for row in _rows(service, _ATTACHMENTS, service.project)}


def outcome(service: Service, known: set[str]) -> dict[str, Any]:
    """Return rows and objects, without empty parts.

    :param known: ids that were there before. Another id is made up anew in each run: it
        is left out of names, and a live row that has it is shown by table and columns.
    """
    found: dict[str, Any] = {}
    made: list[str] = []

    def add(name: str, row: sqlite3.Row, columns: list[Any]) -> None:
        if row["id"] in known:
            found[f"{name} {row['id']}"] = "deleted" if row["deleted"] else columns
        elif not row["deleted"]:
            made.append(" ".join([name, *map(str, columns)]))

    project, row_id = service.project, service.row.id
    for table, names in _TABLES.items():
        for row in _rows(service, f'SELECT * FROM "{table}" WHERE project_id = ?', project):
            add(table, row, [row["status"], *(_shown(row[name], known) for name in names)])
    for row in _rows(service, _ATTACHMENTS, project):
        add("attachment", row, [row["attach_status"], row["attach_mode"], _has_info(row)])
    used = _rows(service, "SELECT * FROM quota_usages WHERE project_id = ?", project)
    messages = _rows(service, "SELECT * FROM messages WHERE project_id = ?", project)
    work = _rows(service, "SELECT * FROM workers WHERE service_id = ?", row_id)
    (own,) = _rows(service, "SELECT * FROM services WHERE id = ?", row_id)
    objects = service.driver.objects | service.store.objects
    images = service.images.service.images
    found |= {
        "made": sorted(made),
        "quota": {row["resource"]: [row["in_use"], row["reserved"]] for row in used},
        "messages": sorted(f"{row['event_id']} {row['detail_id']}" for row in messages),
        "work": sorted(row["resource_id"] for row in work),
        "service": _of_service(own),
        "objects": sorted(_shown(name, known) for name in objects),
        "exports": sorted(_shown(name, known) for name in service.driver.exports),
        "images": {known: image["status"] for known, image in images.items() if known != "i1"},
        "scheduler": [method for method, _args, _named in service.scheduler.calls],
    }
    return {name: value for name, value in found.items() if value}


def _rows(service: Service, query: str, value: Any) -> list[sqlite3.Row]:
    return service.databases.reader.execute(query, (value,)).fetchall()


def _has_info(row: sqlite3.Row) -> bool:
    return bool(row["connection_info"])


def _of_service(row: sqlite3.Row) -> list[Any]:
    """Return a service's columns, unless they are those of any service that is up."""
    found = [bool(row["disabled"]), row["replication_status"], row["active_backend_id"]]
    return found if found != [False, "not-capable", None] else []


def _shown(value: Any, known: set[str]) -> Any:
    """Return a value without ids that were made up on the way."""
    if not isinstance(value, str):
        return value
    return _ID.sub(lambda found: found[0] if found[0] in known else "?", value)
