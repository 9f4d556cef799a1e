# SPDX-License-Identifier: Apache-2.0
"""The contract of a backend that takes over volumes it did not make.

Source: seeds, VolumeManagementDriver; spec/interfaces §3.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Any

from drivers.interface.records import Record
from drivers.interface.volume import Update


class VolumeManagementDriver(abc.ABC):
    """A backend whose existing objects can become volumes, and volumes plain objects."""

    @abc.abstractmethod
    def manage_existing(self, volume: Record, existing_ref: Mapping[str, Any]) -> Update:
        """Make an object that is there already the data of a volume.

        Afterwards every call about the volume must find the object. Either it is
        renamed to ``volume['name']``, or something is noted, on it or elsewhere in
        the backend, by which deleting, cloning, attaching, detaching and so on find
        it. A volume with a type may be compared with the object.

        :param existing_ref: as the caller gave it, with ``source-id`` and/or
            ``source-name``, whose meaning is the driver's own.
        :returns: columns to write, or None.
        :raises ManageExistingInvalidReference: the reference makes no sense, or
            names nothing that is there; nothing was changed.
        :raises ManageExistingVolumeTypeMismatch: the object cannot be of the
            volume's type; the text says why. Nothing was changed.
        """

    @abc.abstractmethod
    def manage_existing_get_size(self, volume: Record, existing_ref: Mapping[str, Any]) -> int:
        """Return how large the object is, in GiB, rounded up to the next whole one.

        Asked before :meth:`manage_existing`. An object of exactly n GiB has n, and
        an empty one has 1.

        :raises ManageExistingInvalidReference: as above.
        """

    @abc.abstractmethod
    def unmanage(self, volume: Record) -> None:
        """Let go of a volume and keep its data.

        Mostly there is nothing to do; what the driver noted on the object may be
        cleaned up here.
        """
