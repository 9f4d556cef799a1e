# SPDX-License-Identifier: Apache-2.0
"""Relations between the fields of a report that Cinder's scheduler relies on.

Each field may be well-formed (:mod:`worker.backends.stats`) and the scheduler may fail all the
same: its filters and weighers divide by differences of fields, and compare two reports.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from worker.backends.reports import expressions
from worker.backends.reports.report_values import MAX_ITEMS, Unusable
from worker.backends.stats import NOTIFIED

_DEFAULTS: Mapping[str, Any] = {
    "total_capacity_gb": 0,
    "free_capacity_gb": 0,
    "reserved_percentage": 0,
    "thin_provisioning_support": False,
    "thick_provisioning_support": False,
    "max_over_subscription_ratio": None,
}
"""The scheduler's values of missing fields; provisioned_capacity_gb is the allocated one then."""

_SMALLEST = 0.01
"""GiB to which the scheduler rounds before it divides."""

_Log = Callable[[str, str], None]


def make_comparable(pool: dict[str, Any], where: str, log: _Log) -> None:
    """Change the fields of a pool that lead to a division by zero or to a comparison of kinds.

    :param pool: of a report, or a backend without a list of pools.
    """
    total, free = pool.get("total_capacity_gb", 0), pool.get("free_capacity_gb")
    if _is_number(total):
        if _is_number(free) and free > total:
            # The ratio "auto" divides by the used capacity plus one.
            pool["free_capacity_gb"] = total
            log(f"{where}free_capacity_gb", f"is {free}; it is reported as {total}, the total")
        if pool.get("thin_provisioning_support") and total > 0 and _usable(pool) < _SMALLEST:
            # The capacity filter divides by the usable capacity of thin pools only.
            pool["thin_provisioning_support"] = False
            text = "is reported as False: the whole capacity is reserved"
            log(f"{where}thin_provisioning_support", text)


def make_evaluable(report: dict[str, Any], log: _Log) -> None:
    """Change the expressions of a report that could occupy the scheduler, or fail its weigher."""
    for field in expressions.FUNCTIONS:
        for pool in (report, *report.get("pools", ())):
            where = f"pool {pool['pool_name']}: " if pool is not report else ""
            try:
                if found := pool.get(field):
                    made = expressions.bounded(found)
                    is_rating = field == "goodness_function"
                    pool[field] = expressions.rating(made) if is_rating else made
            except Unusable as error:
                pool[field] = None
                log(f"{where}{field}", f"{error}; it is left out")
        if (size := expressions.total(report, field)) > expressions.MAX_TOTAL:
            for pool in (report, *report.get("pools", ())):
                pool.pop(field, None)
            most = expressions.MAX_TOTAL
            log(field, f"of all pools has {size} characters, not up to {most}; it is left out")


def _usable(pool: Mapping[str, Any]) -> float:
    """Return the GiB that are not reserved, as the scheduler calculates them."""
    total = float(pool["total_capacity_gb"])
    return total - math.floor(total * float(pool.get("reserved_percentage", 0) or 0) / 100)


class PoolFields:
    """The fields that each pool had in the last report with it.

    The scheduler compares a pool that has all fields of :data:`NOTIFIED` with the pool of the
    report before. A field that was missing there raises KeyError, for every further report.
    """

    def __init__(self, log: _Log) -> None:
        self._log = log
        self._reported: dict[str, frozenset[str]] = {}

    def keep(self, pools: list[dict[str, Any]]) -> None:
        """Complete the pools of a report so that the scheduler can compare them."""
        present = {pool["pool_name"]: self._keep(pool) for pool in pools}
        # The scheduler may compare with an older report, in which a pool was that is missing now.
        missing = [name for name in self._reported if name not in present][-MAX_ITEMS:]
        self._reported = {**{name: self._reported[name] for name in missing}, **present}

    def _keep(self, pool: dict[str, Any]) -> frozenset[str]:
        name = pool["pool_name"]
        found = NOTIFIED & pool.keys()
        before = self._reported.get(name, found)
        for field in sorted(found | before):
            if pool.get(field) is None:
                pool[field] = _default(field, pool)
        found |= before
        if found == NOTIFIED:
            for field in sorted(found - before):
                del pool[field]
                text = "was missing in the last report; it is left out until the service restarts"
                self._log(f"pool {name}: {field}", text)
            return before
        return found


def _default(field: str, pool: Mapping[str, Any]) -> Any:
    if field == "provisioned_capacity_gb":
        return pool.get("allocated_capacity_gb", 0)
    return _DEFAULTS.get(field, 0)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
