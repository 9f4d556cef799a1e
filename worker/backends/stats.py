# SPDX-License-Identifier: Apache-2.0
"""Check the statistics of a driver field by field.

Source: seeds, VolumeDriverCore.get_volume_stats; spec/interfaces §2.1.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

LOG = logging.getLogger(__name__)

_CAPACITY_WORDS = ("unknown", "infinite")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_capacity(value: Any) -> bool:
    return value in _CAPACITY_WORDS or (_is_number(value) and value >= 0)


def _is_ratio(value: Any) -> bool:
    if value == "auto" or _is_number(value):
        return True
    try:
        return isinstance(value, str) and float(value) > 0
    except ValueError:
        return False


def _is(*kinds: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, kinds)


_Rule = tuple[Callable[[Any], bool], str]

_TEXT: _Rule = (_is(str), "a string")
_YES_NO: _Rule = (_is(bool), "true or false")
_GIB: _Rule = (_is_capacity, "GiB, 'unknown' or 'infinite'")

REQUIRED: Mapping[str, _Rule] = {
    "volume_backend_name": _TEXT,
    "vendor_name": _TEXT,
    "driver_version": _TEXT,
    "storage_protocol": _TEXT,
}

CAPACITY: Mapping[str, _Rule] = {"total_capacity_gb": _GIB, "free_capacity_gb": _GIB}
"""Required too: of each pool, or of the backend if it lists none."""

OPTIONAL: Mapping[str, _Rule] = {
    "reserved_percentage": (lambda v: _is_number(v) and 0 <= v <= 100, "a percentage"),
    "location_info": _TEXT,
    "QoS_support": _YES_NO,
    "provisioned_capacity_gb": _GIB,
    "max_over_subscription_ratio": (_is_ratio, "a number or 'auto'"),
    "thin_provisioning_support": _YES_NO,
    "thick_provisioning_support": _YES_NO,
    "total_volumes": (lambda v: isinstance(v, int) and not isinstance(v, bool), "a whole number"),
    "filter_function": (_is(str, type(None)), "an expression"),
    "goodness_function": (_is(str, type(None)), "an expression"),
    "multiattach": _YES_NO,
    "sparse_copy_volume": _YES_NO,
    "online_extend_support": _YES_NO,
}


class StatsError(Exception):
    """The statistics cannot be used at all; the last ones stay in effect."""


class StatsCheck:
    """Check the statistics of one backend, and log each malformed field once.

    :param backend: the backend's name, for the log.
    """

    def __init__(self, backend: str) -> None:
        self._backend = backend
        self._logged: set[str] = set()

    def clean(self, stats: Any) -> dict[str, Any]:
        """Return the statistics without their malformed fields.

        :raises StatsError: no dict, or ``pools`` that are no list of dicts.
        """
        if not isinstance(stats, Mapping):
            kind = type(stats).__name__
            raise StatsError(f"backend {self._backend}: get_volume_stats returned a {kind}")
        top = dict(stats)
        pools = top.pop("pools", None)
        if pools is None:
            return self._fields(top, {**REQUIRED, **CAPACITY}, "")
        if not isinstance(pools, list) or not all(isinstance(pool, Mapping) for pool in pools):
            raise StatsError(f"backend {self._backend}: pools is no list of dicts")
        clean = self._fields(top, REQUIRED, "")
        clean["pools"] = [self._pool(dict(pool), number) for number, pool in enumerate(pools)]
        return clean

    def _pool(self, pool: dict[str, Any], number: int) -> dict[str, Any]:
        where = f"pool {pool.get('pool_name', number)}: "
        return self._fields(pool, {"pool_name": _TEXT, **CAPACITY}, where)

    def _fields(
        self, fields: dict[str, Any], required: Mapping[str, _Rule], where: str
    ) -> dict[str, Any]:
        for name in required:
            if name not in fields:
                self._log(f"{where}{name}", "is missing, which the scheduler needs")
        for name, (fits, wanted) in {**OPTIONAL, **required}.items():
            if name in fields and not fits(fields[name]):
                found = fields.pop(name)
                self._log(f"{where}{name}", f"is {found!r}, not {wanted}; it is left out")
        return fields

    def _log(self, field: str, problem: str) -> None:
        if field not in self._logged:
            self._logged.add(field)
            LOG.warning("backend %s: statistics: %s %s", self._backend, field, problem)
