# SPDX-License-Identifier: Apache-2.0
"""One line of a listing of the journal, whatever the entry holds."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from oslo_utils import timeutils

UNREADABLE_ENTRY = "the entry cannot be read"
"""Begin of the failure of an entry whose columns cannot be decoded."""


@dataclass(frozen=True)
class JournalEntry:
    """One line of a listing."""

    flow: str
    slot: str
    method: str
    resource: str
    state: str
    accepted_at: datetime.datetime
    updated_at: datetime.datetime | None
    resumes: int
    failure: str | None
    request_id: str | None
    meta: Mapping[str, Any] = field(repr=False, default_factory=dict)


def entry_of(row: Any) -> JournalEntry:
    """Return the line of a row; fields of wrong kinds count as absent."""
    meta = row.meta if isinstance(row.meta, Mapping) else {}
    resumes = meta.get("resumes", 0)
    return JournalEntry(
        flow=row.uuid,
        slot=row.slot,
        method=_text(meta.get("method")) or row.name or "?",
        resource=_resource(meta.get("resource")),
        state=row.state or "",
        accepted_at=row.created_at or timeutils.utcnow(),
        updated_at=row.updated_at,
        resumes=resumes if isinstance(resumes, int) else 0,
        failure=_text(meta.get("failure")) or _text(meta.get("reason")),
        request_id=_text(meta.get("request_id")) or _text(_part(meta, "request", "request_id")),
        meta=meta,
    )


def unreadable(flow: str, slot: str, name: str, state: str, error: Exception) -> JournalEntry:
    """Return the line of a row whose columns cannot be decoded."""
    return JournalEntry(
        flow=flow,
        slot=slot,
        method=name or "?",
        resource="",
        state=state or "",
        accepted_at=timeutils.utcnow(),
        updated_at=None,
        resumes=0,
        failure=f"{UNREADABLE_ENTRY}: {type(error).__name__}",
        request_id=None,
    )


def concerns(entry: JournalEntry, kind: str, resource_id: str) -> bool:
    """Return whether an operation is one on a resource, or names it, as a restore its volume."""
    if entry.resource == f"{kind} {resource_id}":
        return True
    args = entry.meta.get("args")
    return isinstance(args, Mapping) and resource_id in args.values()


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _part(meta: Mapping[str, Any], name: str, key: str) -> object:
    part = meta.get(name)
    return part.get(key) if isinstance(part, Mapping) else None


def _resource(value: object) -> str:
    if not isinstance(value, Sequence) or isinstance(value, str):
        return ""
    return " ".join(one for one in value[:2] if isinstance(one, str)).strip()
