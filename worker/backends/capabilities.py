# SPDX-License-Identifier: Apache-2.0
"""Capabilities of a volume backend, as reported to the scheduler (spec/service §5)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from worker.backends.reports.scheduler_rules import PoolFields, make_comparable, make_evaluable
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
        self._check = backend.stats_check  # which has logged the driver's malformed fields
        self._pool_fields = PoolFields(self._check.log)
        self._extra = json.loads(extra or "{}")
        self._functions = {
            "filter_function": filter_function,
            "goodness_function": goodness_function,
        }

    def current(self, *, refresh: bool) -> dict[str, Any]:
        """Return the driver's capabilities, from the driver or from the last statistics.

        They include the extra specs that it understands, which no report has.

        :raises DriverNotInitialized: the driver is not up.
        """
        self._backend.require_driver()
        properties = self._backend.properties(renew=refresh)
        stats = self.fresh() if refresh else self._backend.stats()
        return {**stats, **properties}

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
            if stats.get(name) is None:
                stats[name] = configured
        return self._schedulable(stats)

    def _schedulable(self, stats: dict[str, Any]) -> dict[str, Any]:
        """Return the capabilities with values only that the scheduler can use.

        The driver's were checked before; those of the configuration were not.
        """
        checked = self._check.clean(stats, complete=False)
        pools = checked.get("pools")
        if pools is not None:
            self._pool_fields.keep(pools)
        make_comparable(checked, "", self._check.log)
        for pool in pools or ():
            make_comparable(pool, f"pool {pool['pool_name']}: ", self._check.log)
        make_evaluable(checked, self._check.log)
        return checked
