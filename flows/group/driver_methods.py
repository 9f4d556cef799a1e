# SPDX-License-Identifier: Apache-2.0
"""Choose the driver's method for an operation on a group, and its arguments.

============================  ====================================================
group                         method
============================  ====================================================
consistency group             the consistency-group one; a deletion without one
                              member by member
generic                       the generic one of the same meaning; where there is
                              none, or it raises NotImplementedError:
its type is consistent        the consistency-group one; where there is none, member
                              by member, but never for a snapshot of the group, or
                              for volumes made from one: that would not be consistent
its type is another           member by member
============================  ====================================================

Source: spec/interfaces §5.9.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from drivers.interface.errors import VolumeDriverException
from drivers.interface.records import Record
from flows.context import GroupContext
from flows.group.group_kinds import GroupKind

LOG = logging.getLogger(__name__)

DEFAULT_CGSNAPSHOT_TYPE = "default_cgsnapshot_type"
"""Name of the group type to which consistency groups were migrated."""
_CONSISTENT = "consistent_group_snapshot_enabled"
_YES = "<is> True"


@dataclass(frozen=True)
class GroupMethod:
    """The two names under which drivers have an operation.

    :param old_needs: whether a consistency group cannot do without it.
    :param type_needs: nor a generic group whose type is consistent.
    """

    generic: str
    consistent: str
    old_needs: bool = True
    type_needs: bool = False


def call(
    ctx: GroupContext,
    of: GroupKind,
    group: Record,
    method: GroupMethod,
    arguments: Callable[[View], Sequence[Any]],
) -> tuple[str, Any] | None:
    """Call the driver; return the method's name and its answer.

    :param arguments: makes the arguments after the context out of how the driver is to
        see them.
    :returns: None where it is to be done member by member.
    :raises VolumeDriverException: the driver cannot, and nothing else would do.
    """
    plain, as_old = View(ctx, as_old=False), View(ctx, as_old=True)
    if not of.generic:
        ways = [(method.consistent, plain)]
    elif is_consistent(group):
        ways = [(method.generic, plain), (method.consistent, as_old)]
    else:
        ways = [(method.generic, plain)]
    answered = _first(ctx, ways, arguments)
    needed = len(ways) > 1 and method.type_needs if of.generic else method.old_needs
    if answered is None and needed:
        names = " nor ".join(name for name, _ in ways)
        text = f"is to be consistent, and the driver has no {names}"
        raise VolumeDriverException(f"{group.kind} {group.id} {text}")
    return answered


def call_for_snapshots(
    ctx: GroupContext,
    of: GroupKind,
    group_snapshot: Record,
    snapshots: Sequence[Record],
    method: GroupMethod,
) -> tuple[str, Any] | None:
    """Call the driver about a snapshot of a group and its members, as :func:`call` does."""
    return call(
        ctx,
        of,
        of.group_of(group_snapshot),
        method,
        lambda view: [view.group_snapshot(group_snapshot), view.snapshots(snapshots)],
    )


def is_consistent(group: Record) -> bool:
    """Return whether a generic group's type promises consistency."""
    kind = group.group_type
    if kind is None:
        return False
    named = kind.name == DEFAULT_CGSNAPSHOT_TYPE
    return bool(named or kind.group_specs.get(_CONSISTENT) == _YES)


class View:
    """How a driver sees groups and members.

    :param as_old: generic ones under the names of consistency groups. That is shown
        for the call only and never written.
    """

    def __init__(self, ctx: GroupContext, *, as_old: bool) -> None:
        self._request = ctx.request
        self._as_old = as_old

    def group(self, group: Record | None) -> Record | None:
        """Return a group."""
        if group is None or not self._is_translated(group):
            return group
        fields = {
            **_common(group, "host", "cluster_name", "availability_zone"),
            "volume_type_id": "".join(f"{type_id}," for type_id in group.volume_type_ids),
            "cgsnapshot_id": group.group_snapshot_id,
            "source_cgid": group.source_group_id,
        }
        return Record("consistencygroup", fields)

    def group_snapshot(self, snapshot: Record | None) -> Record | None:
        """Return a snapshot of a group."""
        if snapshot is None:
            return None
        if not self._is_translated(snapshot):
            return snapshot.replace(context=self._request)
        group = self.group(snapshot.group)
        fields = {
            **_common(snapshot),
            "consistencygroup_id": snapshot.group_id,
            "consistencygroup": group,
            "context": self._request,
        }
        return Record("cgsnapshot", fields)

    def volumes(self, volumes: Sequence[Record] | None) -> list[Record] | None:
        """Return members of a group."""
        if volumes is None:
            return None
        if not self._as_old:
            return list(volumes)
        return [volume.replace(consistencygroup_id=volume.group_id) for volume in volumes]

    def snapshots(self, snapshots: Sequence[Record] | None) -> list[Record] | None:
        """Return members of a group snapshot."""
        if snapshots is None:
            return None
        found = [snapshot.replace(context=self._request) for snapshot in snapshots]
        if not self._as_old:
            return found
        return [one.replace(cgsnapshot_id=one.group_snapshot_id) for one in found]

    def _is_translated(self, record: Record) -> bool:
        return self._as_old and record.kind in ("group", "group_snapshot")


def _common(record: Record, *more: str) -> dict[str, Any]:
    names = ("id", "user_id", "project_id", "name", "description", "status", "created_at", *more)
    return {name: record[name] for name in names}


def _first(
    ctx: GroupContext,
    ways: Sequence[tuple[str, View]],
    arguments: Callable[[View], Sequence[Any]],
) -> tuple[str, Any] | None:
    for name, view in ways:
        method = getattr(ctx.driver, name, None)
        if method is None:
            continue
        try:
            return name, method(ctx.request, *arguments(view))
        except NotImplementedError:
            LOG.debug("the driver has no %s", name)
    return None
