# SPDX-License-Identifier: Apache-2.0
"""The contract of taking existing snapshots over, and of letting them go.

Source: seeds, VolumeSnapshotManagementDriver; listing: spec/interfaces §8. A volume
driver announces it by being one of these as well. Calls are idempotent and may block.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import Any

from drivers.interface.manage import Reference
from drivers.interface.optional import Update
from drivers.interface.records import Record


class VolumeSnapshotManagementDriver(abc.ABC):
    """A backend whose existing objects can become snapshots of a volume."""

    @abc.abstractmethod
    def manage_existing_snapshot_get_size(self, snapshot: Record, existing_ref: Reference) -> int:
        """Return the size of the object, before it is taken over; changes nothing.

        :returns: GiB, rounded up: one byte above n GiB is n + 1, an empty object 1.
        :raises ManageExistingInvalidReference: it makes no sense, or there is no
            such object.
        """

    @abc.abstractmethod
    def manage_existing_snapshot(self, snapshot: Record, existing_ref: Reference) -> Update:
        """Make an existing object a snapshot of ``snapshot.volume``.

        Either rename it to ``snapshot['name']``, or keep a note, on the object or
        elsewhere on the backend, from which every later call, such as its deletion,
        finds it. A repeated call finds the object under its new name.

        :returns: columns to write, or None.
        :raises ManageExistingInvalidReference: it makes no sense, or there is no
            such object; nothing was changed.
        """

    @abc.abstractmethod
    def unmanage_snapshot(self, snapshot: Record) -> None:
        """Forget a snapshot and keep the object with its data.

        Most drivers have nothing to do; one that left notes of its own on the object
        may remove them here.

        :raises DriverError: the object and its data are still there.
        """

    def get_manageable_snapshots(
        self,
        cinder_snapshots: Sequence[Record],
        marker: str | None,
        limit: int,
        offset: int,
        sort_keys: Sequence[str],
        sort_dirs: Sequence[str],
    ) -> list[dict[str, Any]]:
        """List objects that could be taken over; none by default.

        :param cinder_snapshots: the backend's snapshots, which are listed as managed.
        :param marker: the ``reference`` after which the list begins.
        :returns: dicts as for volumes, with ``source_reference`` of the volume.
        """
        return []
