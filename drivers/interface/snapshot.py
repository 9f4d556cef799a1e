# SPDX-License-Identifier: Apache-2.0
"""The contract of a backend that takes over snapshots it did not make.

Source: seeds, VolumeSnapshotManagementDriver; spec/interfaces §4.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Any

from drivers.interface.records import Record
from drivers.interface.volume import Update


class VolumeSnapshotManagementDriver(abc.ABC):
    """A backend whose existing snapshots can be managed, and let go."""

    @abc.abstractmethod
    def manage_existing_snapshot(self, snapshot: Record, existing_ref: Mapping[str, Any]) -> Update:
        """Make a snapshot that is on the backend the data of a snapshot's row.

        Either it is renamed to ``snapshot['name']``, or something is noted, on it or
        elsewhere in the backend, by which later calls such as the deletion find it.

        :param existing_ref: as the caller gave it, with ``source-id`` and/or
            ``source-name``, enough for the driver to know which object is meant.
        :returns: columns to write, or None.
        :raises ManageExistingInvalidReference: the reference makes no sense, or
            names nothing that is there; nothing was changed.
        """

    @abc.abstractmethod
    def manage_existing_snapshot_get_size(
        self, snapshot: Record, existing_ref: Mapping[str, Any]
    ) -> int:
        """Return how large the object is, in GiB, rounded up to the next whole one.

        :raises ManageExistingInvalidReference: as above.
        """

    @abc.abstractmethod
    def unmanage_snapshot(self, snapshot: Record) -> None:
        """Let go of a snapshot and keep its data.

        Mostly there is nothing to do; what the driver noted on the object may be
        cleaned up here.
        """
