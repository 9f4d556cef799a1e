# SPDX-License-Identifier: Apache-2.0
"""The contract of a backend that treats several volumes as one.

Source: seeds, VolumeConsistencyGroupDriver; spec/interfaces §5.

Common to all methods. Members and snapshots are records read from the database;
they are not to be returned: the driver makes its own values. An *update*
of the group is a dict ``{"status": …, …}`` of columns. A *list of updates* has one
dict ``{"id": …, "status": …, …}`` per member. None, alone or in each place of the
tuple, means success with nothing to write; a member without an entry ends as the
operation does. Here a driver does name statuses (see :class:`MemberStatus`): it alone
knows which members it has finished. Any exception fails the operation.
Calls are idempotent and may block; deletion of an absent object succeeds. A volume
driver announces groups by being one of these as well.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from drivers.interface.records import Record

GroupUpdate = Mapping[str, Any] | None
MemberUpdates = Sequence[Mapping[str, Any]] | None
Members = Sequence[Record]


class MemberStatus(StrEnum):
    """Statuses that a driver gives to members of which it has finished some only."""

    AVAILABLE = "available"
    DELETED = "deleted"
    ERROR = "error"
    ERROR_DELETING = "error_deleting"


class VolumeConsistencyGroupDriver(abc.ABC):
    """A backend that makes snapshots of several volumes as of the same moment."""

    @abc.abstractmethod
    def create_consistencygroup(self, context: Any, group: Record) -> GroupUpdate:
        """Make a group without members.

        Success leaves it ``available``, whether an update or None is returned. An
        update with the status ``error``, or any exception, leaves it in ``error``.

        :param context: the caller's.
        """

    @abc.abstractmethod
    def create_consistencygroup_from_src(
        self,
        context: Any,
        group: Record,
        volumes: Members,
        cgsnapshot: Record | None = None,
        snapshots: Members | None = None,
        source_cg: Record | None = None,
        source_vols: Members | None = None,
    ) -> tuple[GroupUpdate, MemberUpdates]:
        """Make a group and its volumes out of a group snapshot or another group.

        Either ``cgsnapshot`` and ``snapshots`` are given, or ``source_cg`` and
        ``source_vols``; each volume stands in line with its source. Success is
        whatever raises nothing: group and volumes become ``available``, even where
        an entry says ``error``, so a driver that failed has to raise. Then group and
        volumes end in ``error``.

        :returns: an update of the group and one per volume, or None, None.
        """

    @abc.abstractmethod
    def delete_consistencygroup(
        self, context: Any, group: Record, volumes: Members
    ) -> tuple[GroupUpdate, MemberUpdates]:
        """Delete a group with its volumes.

        A driver that deletes some and not others says so by the members' statuses,
        which are written as they are. A member in ``error`` or ``error_deleting``
        gives the group that status unless it has one of them already, and a group
        in one of them fails the operation: the group ends in ``error``. If then no
        list of members was returned, every member ends in ``error``. An exception
        puts the group and every member into ``error``. After a success all of them
        are ``deleted``.
        """

    @abc.abstractmethod
    def update_consistencygroup(
        self,
        context: Any,
        group: Record,
        add_volumes: Members | None = None,
        remove_volumes: Members | None = None,
    ) -> tuple[GroupUpdate, MemberUpdates, MemberUpdates]:
        """Take volumes into a group and out of it.

        A group without an update becomes ``available``; a volume without one keeps
        its status. Every entry of a list needs the ``id`` of its volume. An
        exception puts the group and all volumes of both lists into ``error``.

        :returns: an update of the group, of the added and of the removed volumes.
        """

    @abc.abstractmethod
    def create_cgsnapshot(
        self, context: Any, cgsnapshot: Record, snapshots: Members
    ) -> tuple[GroupUpdate, MemberUpdates]:
        """Make snapshots of all members as of the same moment.

        A driver that makes some and not others says so by the snapshots' statuses.
        One in ``error`` gives the group snapshot that status unless it has it
        already, and that fails the operation: the group snapshot ends in ``error``,
        and so does every snapshot if no list was returned. An exception puts all of
        them into ``error``. After a success all are ``available``.
        """

    @abc.abstractmethod
    def delete_cgsnapshot(
        self, context: Any, cgsnapshot: Record, snapshots: Members
    ) -> tuple[GroupUpdate, MemberUpdates]:
        """Delete a group snapshot with its snapshots.

        A driver that deletes some and not others says so by the snapshots'
        statuses, which are written as they are. One in ``error`` or
        ``error_deleting`` gives the group snapshot that status unless it has one of
        them already, and one of them fails the operation: the group snapshot ends in
        ``error``, and so does every snapshot if no list was returned. An exception
        puts all of them into ``error``. After a success all are ``deleted``.
        """


class VolumeGroupDriver:
    """A backend with groups of its own, consistent or not (spec/interfaces §5.9).

    Each method has the meaning and the rules of its namesake above. One that
    raises ``NotImplementedError`` has changed nothing, and is done volume by volume,
    or by its namesake where the group's type asks for consistency.
    """

    def create_group(self, context: Any, group: Record) -> GroupUpdate:
        """Make an empty group."""
        raise NotImplementedError

    def create_group_from_src(
        self,
        context: Any,
        group: Record,
        volumes: Members,
        group_snapshot: Record | None = None,
        snapshots: Members | None = None,
        source_group: Record | None = None,
        source_vols: Members | None = None,
    ) -> tuple[GroupUpdate, MemberUpdates]:
        """Make a group and its volumes out of a group snapshot or of another group."""
        raise NotImplementedError

    def delete_group(
        self, context: Any, group: Record, volumes: Members
    ) -> tuple[GroupUpdate, MemberUpdates]:
        """Delete a group and all volumes in it."""
        raise NotImplementedError

    def update_group(
        self,
        context: Any,
        group: Record,
        add_volumes: Members | None = None,
        remove_volumes: Members | None = None,
    ) -> tuple[GroupUpdate, MemberUpdates, MemberUpdates]:
        """Let volumes join and leave a group."""
        raise NotImplementedError

    def create_group_snapshot(
        self, context: Any, group_snapshot: Record, snapshots: Members
    ) -> tuple[GroupUpdate, MemberUpdates]:
        """Snapshot all volumes of a group."""
        raise NotImplementedError

    def delete_group_snapshot(
        self, context: Any, group_snapshot: Record, snapshots: Members
    ) -> tuple[GroupUpdate, MemberUpdates]:
        """Delete the snapshots that were made together."""
        raise NotImplementedError
