# SPDX-License-Identifier: Apache-2.0
"""Capabilities of a volume backend, as reported to the scheduler (spec/service §5)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from worker.backends.volume_backend import VolumeBackend

_CACHEABLE = ("iscsi", "fc", "nvme")


class Capabilities:
    """The statistics of a driver, completed from the database and the configuration.

    :param allocated: returns the GiB of volumes by pool, from the database.
    :param extra: a JSON object with further capabilities.
    """

    def __init__(
        self,
        backend: VolumeBackend,
        allocated: Callable[[], Mapping[str, int]],
        *,
        extra: str = "{}",
        filter_function: str | None = None,
        goodness_function: str | None = None,
    ) -> None:
        self._backend = backend
        self._allocated = allocated
        self._extra = json.loads(extra or "{}")
        self._functions = {
            "filter_function": filter_function,
            "goodness_function": goodness_function,
        }

    def current(self, *, refresh: bool) -> dict[str, Any]:
        """Return the driver's capabilities, from the driver or from the last statistics.

        :raises DriverNotInitialized: the driver is not up.
        """
        self._backend.require_driver()
        return self.fresh() if refresh else dict(self._backend.stats())

    def fresh(self) -> dict[str, Any]:
        """Fetch statistics from the driver; return the capabilities for the scheduler."""
        stats = dict(self._backend.refresh())
        allocated = self._allocated()
        pools = [dict(pool) for pool in stats.get("pools", ())]
        for pool in pools or [stats]:
            pool.update(self._extra)
            # Without a list of pools there is one pool, even if older rows name another one.
            here = allocated.get(str(pool.get("pool_name")), 0)
            pool["allocated_capacity_gb"] = here if pools else sum(allocated.values())
            protocol = str(stats.get("storage_protocol", "")).lower()
            if protocol.startswith(_CACHEABLE):
                pool.setdefault("cacheable", True)
        if pools:
            stats["pools"] = pools
        for name, configured in self._functions.items():
            stats.setdefault(name, configured)
        return stats
