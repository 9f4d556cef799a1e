# SPDX-License-Identifier: Apache-2.0
"""Pages of the list of a backend's objects, for an audit in another process."""

from __future__ import annotations

import bisect
import dataclasses
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from drivers.interface.errors import VolumeBackendAPIException
from drivers.interface.listing import BackendObject
from flows.driver_calls import driver_contract
from flows.errors import DriverReturnedRubbish
from worker.backends.volume_backend import VolumeBackend
from worker.db.criteria import BackendRows
from worker.db.records import Records

KEPT = 60.0
"""Seconds in which the next page of a list may be asked for; after that it is made anew."""


@dataclass(frozen=True)
class _Listing:
    objects: Sequence[BackendObject]
    made: float


class ObjectPages:
    """The list of a backend's objects, sorted by kind and name.

    It is kept from the first page to the last one, so that the driver makes it once.

    :param rows: the names of the backend.
    """

    def __init__(
        self,
        records: Records,
        backend: VolumeBackend,
        rows: BackendRows,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._records = records
        self._backend = backend
        self._rows = rows
        self._clock = clock
        self._kept: _Listing | None = None
        self._lock = threading.Lock()

    def page(self, after: Sequence[str] | None, limit: int) -> list[list[Any]] | None:
        """Return objects as lists of their fields; None where the driver lists none.

        :param after: kind and name of the last object of the page before; None begins anew.
        :raises DriverNotInitialized: the driver is not up.
        :raises VolumeBackendAPIException: the driver failed.
        """
        with self._lock:
            kept, self._kept = self._kept, None
        if after is None or kept is None or self._clock() - kept.made > KEPT:
            try:
                kept = _Listing(self._made(), self._clock())
            except NotImplementedError:
                return None
        found = kept.objects
        start = 0 if after is None else bisect.bisect_right(found, tuple(after), key=_key)
        if start + limit < len(found):
            with self._lock:
                self._kept = kept
        return [list(dataclasses.astuple(one)) for one in found[start : start + limit]]

    def _made(self) -> list[BackendObject]:
        driver = self._backend.require_driver()
        volumes, snapshots = self._records.volumes, self._records.snapshots
        try:
            found = driver.list_objects(volumes.on_host(self._rows), snapshots.on_host(self._rows))
            return sorted(_checked(found), key=_key)
        except NotImplementedError:
            raise
        except Exception as error:
            cause = f"{type(error).__name__}: {driver_contract.masked(error)}"
            text = f"list_objects of {self._rows.name} failed: {cause}"
            raise VolumeBackendAPIException(text) from error


def _key(one: BackendObject) -> tuple[str, ...]:
    return one.kind, one.name


def _checked(found: Iterable[Any]) -> Iterable[BackendObject]:
    for one in found:
        if not isinstance(one, BackendObject):
            raise DriverReturnedRubbish(f"list_objects returned {one!r:.80}, no BackendObject")
        yield one
