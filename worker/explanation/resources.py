# SPDX-License-Identifier: Apache-2.0
"""Describe a resource by its row, the rows that refer to it, and the service of its host."""

from __future__ import annotations

import datetime
from typing import Any

from oslo_utils import timeutils

from drivers.interface.records import Record
from worker.db.records import Records
from worker.db.records.services.service import is_up
from worker.explanation.operations import moment
from worker.explanation.subjects import Stores, Subject

_HIDDEN = frozenset(
    {"provider_auth", "encryption_key_id", "connection_info", "connector", "service_metadata"}
)
"""Columns that hold secrets, or may."""

_BINARIES = {"backup": "cinder-backup"}
"""Programs that serve a kind; cinder-volume serves the others."""

_OWNERS = (
    ("volume_id", "volume"),
    ("group_id", "group"),
    ("consistencygroup_id", "consistencygroup"),
)
"""Columns that name the resource whose host a row without a host of its own has."""


def described(stores: Stores, subject: Subject) -> dict[str, Any] | None:
    """Return the row of a resource and its surroundings; None without a row."""
    records = stores.records
    row = records.stored.find(subject.kind, subject.id) if records is not None else None
    if records is None or row is None:
        return None
    host = _host(records, row)
    return {
        "kind": subject.kind,
        "id": subject.id,
        "name": row.get("display_name") or row.get("name"),
        "status": row.status,
        "deleted": bool(row.deleted),
        "host": host,
        "row": columns(row),
        "related": [{"kind": one.kind, **columns(one)} for one in _related(records, subject)],
        "work": _work(records, subject),
        "service": _service(stores, subject.kind, host),
    }


def columns(row: Record) -> dict[str, Any]:
    """Return the columns of a row that have a value, without secrets."""
    found = {name: value for name, value in row.to_dict().items() if value is not None}
    return {
        name: moment(value) if isinstance(value, datetime.datetime) else value
        for name, value in found.items()
        if name not in _HIDDEN
    }


def _related(records: Records, subject: Subject) -> list[Record]:
    return records.stored.related(subject.kind, subject.id)


def _host(records: Records, row: Record) -> str | None:
    """Return the host of a row, or of the volume or group that it is of."""
    if row.get("host"):
        return str(row.host)
    for column, kind in _OWNERS if "host" not in row else ():
        owner = records.stored.find(kind, str(row.get(column) or ""))
        if owner is not None:
            return str(owner.host) if owner.host else None
    return None


def _work(records: Records, subject: Subject) -> dict[str, Any] | None:
    """Return the mark that an operation leaves in the database while it works on a resource."""
    row = records.stored.work(subject.kind, subject.id)
    if row is None:
        return None
    service = records.services.get(row.service_id) if row.service_id else None
    by = service.host if service is not None else None
    return {"status": row.status, "claimed_by": by, "since": moment(row.updated_at)}


def _service(stores: Stores, kind: str, host: str | None) -> dict[str, Any] | None:
    """Return the service that carries out operations of a host; None without a row of it."""
    if not host or stores.records is None:
        return None
    binary, address = _BINARIES.get(kind, "cinder-volume"), host.partition("#")[0]
    found = stores.records.services.list(binary=binary, host=address)
    if not found:
        return {"binary": binary, "host": address, "state": "missing"}
    row, heartbeat = found[0], found[0].updated_at or found[0].created_at
    age = (timeutils.utcnow() - heartbeat).total_seconds() if heartbeat else None
    return {
        "binary": binary,
        "host": address,
        "state": "up" if is_up(row, stores.conf.service_down_time) else "down",
        "disabled": bool(row.disabled),
        "disabled_reason": row.disabled_reason,
        "frozen": bool(row.frozen),
        "cluster": row.cluster_name,
        "last_heartbeat": moment(heartbeat),
        "heartbeat_age_s": None if age is None else int(age),
    }
