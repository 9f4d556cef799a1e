# SPDX-License-Identifier: Apache-2.0
"""Questions of other services to the volume driver, without a flow.

Source: spec/volume-rpc, secure_file_operations_enabled.
"""

from __future__ import annotations

from typing import Any

from worker.backends.volume_backend import VolumeBackend
from worker.db.records import Records


class DriverQueries:
    """Ask the driver of one backend.

    Every method raises ``DriverNotInitialized`` while the driver is not up.
    """

    def __init__(self, records: Records, backend: VolumeBackend) -> None:
        self._records = records
        self._backend = backend

    def secure_file_operations_enabled(self) -> bool:
        """Return whether the driver's files belong to the service's user."""
        return bool(self._backend.require_driver().secure_file_operations_enabled())

    def changed_extents(self, kind: str, source_id: str, since: str) -> list[list[int]] | None:
        """Return the extents of a source that may differ from an older snapshot.

        :param kind: ``volume`` or ``snapshot``.
        :param since: the id of the older snapshot.
        :returns: start and end of each extent; None where the driver does not know.
        """
        rows: Any = self._records.volumes if kind == "volume" else self._records.snapshots
        source, before = rows.get(source_id), self._records.snapshots.get(since)
        try:
            found = self._backend.require_driver().changed_extents(source, before)
        except NotImplementedError:
            return None
        return None if found is None else [[int(start), int(end)] for start, end in found]
