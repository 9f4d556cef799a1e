# SPDX-License-Identifier: Apache-2.0
"""List the objects of a backend that can be managed.

Source: spec/volume-rpc, get_manageable_volumes and get_manageable_snapshots.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from drivers.interface.errors import InvalidInput, VolumeBackendAPIException
from drivers.interface.records import Record
from flows.driver_calls import driver_contract
from flows.errors import DriverReturnedRubbish
from worker.backends.volume_backend import VolumeBackend
from worker.db.criteria import BackendRows
from worker.db.records import Records


class Manageable:
    """Lists of manageable objects; empty for a driver that cannot manage objects.

    :param rows: the names of the backend; the driver gets its rows as the objects managed already.
    """

    def __init__(self, records: Records, backend: VolumeBackend, rows: BackendRows) -> None:
        self._records = records
        self._backend = backend
        self._rows = rows

    def manageable_volumes(self, page: dict[str, Any]) -> list[dict[str, Any]]:
        """Return a page of the volumes that can be managed.

        :raises DriverNotInitialized: the driver is not up.
        :raises InvalidInput: the page is invalid, for instance its marker.
        :raises VolumeBackendAPIException: the driver failed.
        """
        return self._ask("get_manageable_volumes", self._records.volumes.on_host, page)

    def manageable_snapshots(self, page: dict[str, Any]) -> list[dict[str, Any]]:
        """Return a page of the snapshots that can be managed; raises the same errors."""
        return self._ask("get_manageable_snapshots", self._records.snapshots.on_host, page)

    def _ask(
        self, method: str, managed: Callable[[BackendRows], Iterable[Record]], page: dict[str, Any]
    ) -> list[dict[str, Any]]:
        call = getattr(self._backend.require_driver(), method, None)
        if call is None:
            return []
        # By position, as Cinder calls it: drivers name these arguments as they like.
        arguments = [page[n] for n in ("marker", "limit", "offset", "sort_keys", "sort_dirs")]
        try:
            answer = call(list(managed(self._rows)), *arguments)
        except NotImplementedError:
            return []
        except InvalidInput:
            raise
        except Exception as error:
            cause = f"{type(error).__name__}: {driver_contract.masked(error)}"
            text = f"{method} of {self._rows.host} failed: {cause}"
            raise VolumeBackendAPIException(text) from error
        return [_entry(method, entry) for entry in _listed(method, answer)]


def _listed(method: str, answer: Any) -> Iterable[Any]:
    if not isinstance(answer, list | tuple):
        raise DriverReturnedRubbish(f"{method} returned a {type(answer).__name__}, not a list")
    return answer


def _entry(method: str, entry: Any) -> dict[str, Any]:
    if not isinstance(entry, Mapping) or not isinstance(entry.get("reference"), Mapping):
        raise DriverReturnedRubbish(f"{method} listed an object without a reference: {entry!r:.80}")
    return {str(name): value for name, value in entry.items()}
