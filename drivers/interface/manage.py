# SPDX-License-Identifier: Apache-2.0
"""The contract of taking existing volumes over, and of letting them go.

Source: seeds, VolumeManagementDriver; listing: spec/interfaces §8. A volume driver
announces it by being one of these as well. Calls are idempotent and may block.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from typing import Any

from drivers.interface.optional import Update
from drivers.interface.records import Record

Reference = Mapping[str, Any]
"""The reference to an object as the caller of the API wrote it.

Keys ``source-id`` and/or ``source-name``; the driver defines their meaning,
as long as they lead to one object.
"""


class VolumeManagementDriver(abc.ABC):
    """A backend whose existing objects can become volumes."""

    @abc.abstractmethod
    def manage_existing_get_size(self, volume: Record, existing_ref: Reference) -> int:
        """Return the size of the object, before it is taken over; changes nothing.

        :returns: GiB, rounded up: one byte above n GiB is n + 1, an empty object 1.
        :raises ManageExistingInvalidReference: it makes no sense, or there is no
            such object.
        """

    @abc.abstractmethod
    def manage_existing(self, volume: Record, existing_ref: Reference) -> Update:
        """Make an existing object the storage of a volume, and keep its data.

        Either rename the object to ``volume['name']``, or keep a note, on the object
        or elsewhere on the backend, from which every later call (delete, clone,
        attach, …) finds it. A repeated call finds the object under its new name.

        The volume may have a type, which the driver may compare with the object.

        :returns: columns to write, or None.
        :raises ManageExistingInvalidReference: it makes no sense, or there is no
            such object; nothing was changed.
        :raises ManageExistingVolumeTypeMismatch: the object does not fit the type,
            and the text says why; nothing was changed.
        """

    @abc.abstractmethod
    def unmanage(self, volume: Record) -> None:
        """Forget a volume and keep the object with its data.

        Most drivers have nothing to do; one that left notes of its own on the object
        may remove them here.

        :raises DriverError: the object and its data are still there.
        """

    def get_manageable_volumes(
        self,
        cinder_volumes: Sequence[Record],
        marker: str | None,
        limit: int,
        offset: int,
        sort_keys: Sequence[str],
        sort_dirs: Sequence[str],
    ) -> list[dict[str, Any]]:
        """List objects that could be taken over; none by default.

        :param cinder_volumes: the backend's volumes, which are listed as managed.
        :param marker: the ``reference`` after which the list begins.
        :returns: dicts with ``reference``, ``size`` in GiB, ``safe_to_manage``,
            ``reason_not_safe``, ``cinder_id`` and ``extra_info``.
        """
        return []
