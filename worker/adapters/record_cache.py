# SPDX-License-Identifier: Apache-2.0
"""Cache of the volumes and snapshots that one run of a flow has read, until the next write.

The tasks of a flow read the same volume several times. No other operation changes it
while the flow holds its lock, and statuses are changed by compare-and-set.

One cache serves all records of a run, as a write to one table may change the rows of
another: an attachment that is settled changes its volume. A call counts as a write unless
its name is in :data:`READS`, so that a method which is new, or forgotten, costs a query
and never returns an old row.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from drivers.interface.records import Record
from flows.context import VolumeServiceContext

READS = frozenset({"get", "of_volume", "members", "qos"})
"""Methods that only read. ``current`` is none: other services write the row meanwhile."""


class RecordCache:
    """The rows that one run has read."""

    def __init__(self) -> None:
        self._found: dict[tuple[int, str], Record] = {}

    def around(self, ctx: VolumeServiceContext, **changes: Any) -> VolumeServiceContext:
        """Return a context whose volumes and snapshots are read through this cache.

        The other fields of the context write no rows of volumes or snapshots; a test names them.

        :param changes: further fields of the new context.
        """
        return replace(
            ctx,
            volumes=self.cached(ctx.volumes),
            snapshots=self.cached(ctx.snapshots),
            groups={kind: self.observed(rows) for kind, rows in ctx.groups.items()},
            attachments=self.observed(ctx.attachments),
            backups=self.observed(ctx.backups),
            quotas=self.observed(ctx.quotas),
            service=self.observed(ctx.service),
            operations=self.observed(ctx.operations),
            host=self.observed(ctx.host),
            backup_service=self.observed(ctx.backup_service),
            volume_service=self.observed(ctx.volume_service),
            **changes,
        )

    def cached(self, rows: Any) -> Any:
        """Return records whose ``get`` reads each row once, until anything is written."""
        return _CachedRecords(rows, self._found)

    def observed(self, target: Any) -> Any:
        """Return records, or another service, whose writes clear the cache."""
        return _Observed(target, self._found)


class _Observed:
    """Passes calls on, and clears the cache after each that may have written."""

    def __init__(self, target: Any, found: dict[tuple[int, str], Record]) -> None:
        self._target = target
        self._found = found

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._target, name)
        if name in READS or not callable(method):
            return method

        def call(*args: Any, **kwargs: Any) -> Any:
            try:
                return method(*args, **kwargs)
            finally:  # it may have written before it raised
                self._found.clear()

        return call


class _CachedRecords(_Observed):
    def get(self, row_id: str) -> Record:
        """Return the live row."""
        key = (id(self._target), row_id)
        if key not in self._found:
            self._found[key] = self._target.get(row_id)
        return self._found[key]
