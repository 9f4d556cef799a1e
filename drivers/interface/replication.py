# SPDX-License-Identifier: Apache-2.0
"""Optional methods of drivers for replication, failover, freeze and thaw.

Source: spec/interfaces §8; spec/volume-rpc, *Replication and maintenance*.

A *target* is one entry of ``replication_device``, by its ``backend_id``; ``default`` is
the backend itself. A driver that replicates says so in its statistics
(``replication_enabled``), and is made with ``active_backend_id`` where an earlier
failover was made to another target. Here a driver does name statuses: it alone knows
the objects that it has moved. Calls are idempotent and may block.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from drivers.interface.group import GroupUpdate
from drivers.interface.records import Record

FailoverAnswer = tuple[str, Sequence[Mapping[str, Any]], Sequence[Mapping[str, Any]]]
"""The target that is active now, ``{"volume_id": …, "updates": {…}}`` for volumes, and
``{"group_id": …, "updates": {…}}`` for groups."""


class Replicating:
    """Freezing a backend, and the failover to another one."""

    def freeze_backend(self, context: Any) -> bool:
        """Learn that nothing is to be made or changed on the backend.

        :raises VolumeDriverException: it counts as frozen all the same.
        """
        return True

    def thaw_backend(self, context: Any) -> bool:
        """Learn that the backend may be changed again.

        :raises VolumeDriverException: it stays frozen.
        """
        return True

    def failover_host(
        self,
        context: Any,
        volumes: Sequence[Record],
        secondary_id: str | None = None,
        groups: Sequence[Record] | None = None,
    ) -> FailoverAnswer:
        """Fail over to a target, or back to ``default``.

        Also asked of an instance whose set-up failed, as it does where the backend is
        lost. A backend that has failed over to that target answers the same again.

        :param volumes: those that are replicated.
        :param secondary_id: the target; None leaves the choice to the driver.
        :param groups: those whose type asks for replication.
        :returns: see :data:`FailoverAnswer`; a volume in ``error`` could not be moved.
        :raises InvalidReplicationTarget: there is no such target; nothing was changed.
        :raises NotImplementedError: not supported.
        """
        raise NotImplementedError

    def failover(
        self,
        context: Any,
        volumes: Sequence[Record],
        secondary_id: str | None = None,
        groups: Sequence[Record] | None = None,
    ) -> FailoverAnswer:
        """Do the same for a cluster, whose other hosts are notified afterwards."""
        return self.failover_host(context, volumes, secondary_id, groups)

    def failover_completed(self, context: Any, active_backend_id: str | None = None) -> None:
        """Follow a failover by another host of the cluster, or by another process.

        :param active_backend_id: None, or empty, for the backend itself.
        :raises NotImplementedError: the driver is made anew instead.
        """
        raise NotImplementedError

    def enable_replication(
        self, context: Any, group: Record, volumes: Sequence[Record]
    ) -> tuple[GroupUpdate, Sequence[Mapping[str, Any]] | None]:
        """Replicate a group of volumes from now on.

        :returns: an update of the group and one of each volume that there is something to
            say of, each of these with its ``id``. A ``replication_status`` of ``error``
            in any of them fails the operation.
        :raises NotImplementedError: not supported.
        """
        raise NotImplementedError

    def disable_replication(
        self, context: Any, group: Record, volumes: Sequence[Record]
    ) -> tuple[GroupUpdate, Sequence[Mapping[str, Any]] | None]:
        """Stop replicating a group; the answer is that of :meth:`enable_replication`."""
        raise NotImplementedError

    def failover_replication(
        self,
        context: Any,
        group: Record,
        volumes: Sequence[Record],
        secondary_backend_id: str | None = None,
    ) -> tuple[GroupUpdate, Sequence[Mapping[str, Any]] | None]:
        """Fail a group over to a target, or back; the answer is the same again."""
        raise NotImplementedError

    def get_replication_error_status(
        self, context: Any, groups: Sequence[Record]
    ) -> tuple[Sequence[Mapping[str, Any]] | None, Sequence[Mapping[str, Any]] | None]:
        """Say whose replication has failed by itself.

        Asked while the statistics say ``replication_status`` ``error``.

        :param groups: those whose type asks for replication.
        :returns: updates of groups, each with ``group_id``, and of volumes, each with
            ``volume_id``, such as a ``replication_status`` of ``error``.
        """
        return None, None
