# SPDX-License-Identifier: Apache-2.0
"""Backups as chains: a full one and the increments that build on it, each on one before it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from worker.db import models
from worker.db.database import Database

MEMBERS = 1000
"""Backups of the volumes of one list that are read, the oldest ones."""

_T = models.backups
_PARENT = _T.alias("parents")
_COLUMNS = [
    _T.c[name]
    for name in (
        *("id", "volume_id", "parent_id", "display_name", "status", "size", "object_count"),
        *("created_at", "host", "fail_reason", "container", "snapshot_id"),
    )
]
_LIVE = _T.c.deleted == sa.false()
_HAS_PARENT = sa.exists().where(_PARENT.c.id == _T.c.parent_id, _PARENT.c.deleted == sa.false())
_FIRST = sa.select(*_COLUMNS).where(_LIVE, sa.not_(_HAS_PARENT)).order_by(_T.c.created_at.desc())
_OTHERS = sa.select(*_COLUMNS).where(_LIVE, _HAS_PARENT).order_by(_T.c.created_at, _T.c.id)


@dataclass(frozen=True)
class ChainMember:
    """A backup and its place in a chain.

    :param depth: number of backups before it, on which it builds; 0 of the first one.
    """

    row: Mapping[str, Any]
    depth: int


def newest(database: Database, limit: int, after: int = 0) -> list[list[ChainMember]]:
    """Return chains, those whose first backup is the newest first.

    The first backup of a chain is a full one, or one whose parent has no live row.

    :param after: how many chains are left out.
    """
    wanted = _FIRST.order_by(_T.c.id).limit(limit).offset(after)
    first = [row._asdict() for row in database.rows(wanted)]
    volumes = {row["volume_id"] for row in first}
    others = database.rows(_OTHERS.where(_T.c.volume_id.in_(volumes)).limit(MEMBERS))
    children: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in others:
        children[row.parent_id].append(row._asdict())
    return [list(_chain(row, children)) for row in first]


def _chain(
    first: Mapping[str, Any], children: Mapping[str, Sequence[Mapping[str, Any]]]
) -> Iterator[ChainMember]:
    """Yield a backup, and those that build on it after it; not by recursion, a chain is long."""
    left = [ChainMember(first, 0)]
    while left:
        member = left.pop()
        yield member
        following = children.get(member.row["id"], ())
        left += [ChainMember(row, member.depth + 1) for row in reversed(following)]
