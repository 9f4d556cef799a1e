# SPDX-License-Identifier: Apache-2.0
"""The two kinds of groups and of their snapshots, behind one interface.

A *generic group* (RPC ``create_group`` and so on) and a *consistency group*
(RPC 3.0 to 3.10) differ in tables and names only; the operations are the same.
"""

from __future__ import annotations

from dataclasses import dataclass

from drivers.interface.records import Record
from flows.context import GroupContext
from flows.protocols.records import GroupRecords, SnapshotRecords, VolumeRecords


@dataclass(frozen=True)
class GroupKind:
    """The kind of an operation's resource.

    :param name: of the rows in the context, and the first word of notifications.
    :param generic: whether it is generic, and no consistency group.
    :param is_snapshot: of a group, so that its members are snapshots.
    :param quota: the resource that counts it; empty where none does.
    """

    name: str
    generic: bool
    is_snapshot: bool
    quota: str = ""

    def rows(self, ctx: GroupContext) -> GroupRecords:
        """Return the rows of this kind."""
        return ctx.groups[self.name]

    def member_rows(self, ctx: GroupContext) -> VolumeRecords | SnapshotRecords:
        """Return the rows of the members."""
        return ctx.snapshots if self.is_snapshot else ctx.volumes

    def group_of(self, record: Record) -> Record:
        """Return the group: the row itself, or the one that it is a snapshot of."""
        if not self.is_snapshot:
            return record
        return record["group" if self.generic else "consistencygroup"]  # type: ignore[no-any-return]


KINDS = {
    kind.name: kind
    for kind in (
        GroupKind("group", True, False, "groups"),
        GroupKind("group_snapshot", True, True),
        GroupKind("consistencygroup", False, False, "consistencygroups"),
        GroupKind("cgsnapshot", False, True),
    )
}

GROUP_OF = {"group_snapshot": "group", "cgsnapshot": "consistencygroup"}
"""Of which kind the group is, by the kind of its snapshot."""
SNAPSHOT_OF = {group: snapshot for snapshot, group in GROUP_OF.items()}
