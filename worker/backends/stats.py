# SPDX-License-Identifier: Apache-2.0
"""Check the statistics of a driver field by field.

Cinder's scheduler calculates with these fields without a check of its own: one that it cannot
use raises there, and then no volume is placed on any backend.

Source: seeds, VolumeDriverCore.get_volume_stats; spec/interfaces §2.1.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from oslo_utils import strutils

from worker.backends.reports.report_values import (
    MAX_ITEMS,
    MAX_NUMBER,
    ReportValues,
    Unusable,
    number,
    text,
    usable_key,
)

LOG = logging.getLogger(__name__)

_CAPACITY_WORDS = ("unknown", "infinite")

_SHOWN = 100
"""Characters of a malformed value in the log."""

_LONGEST_FIELD = 300
"""Characters of the name of a field in the log."""

_MAX_LOGGED = 1000
"""Fields that are logged at most, for drivers that make up new names all the time."""

NOTIFIED = frozenset(
    {
        "total_capacity_gb",
        "free_capacity_gb",
        "allocated_capacity_gb",
        "provisioned_capacity_gb",
        "thin_provisioning_support",
        "thick_provisioning_support",
        "max_over_subscription_ratio",
        "reserved_percentage",
    }
)
"""Fields of pools that the scheduler compares between two reports; see ``PoolFields`` in
:mod:`worker.backends.reports.scheduler_rules`. A malformed one is None in the statistics."""

_SCHEDULERS_OWN = frozenset({"timestamp"})
"""Fields that the scheduler adds to a report, and compares with its own clock."""


def _amount(value: Any) -> int | float:
    plain = number(value)
    if plain < 0:
        raise Unusable("is negative")
    return plain


def _capacity(value: Any) -> int | float | str:
    if isinstance(value, str):
        if value not in _CAPACITY_WORDS:
            raise Unusable("is no capacity")
        return str.__str__(value)
    if isinstance(value, float) and math.isnan(value):
        return "unknown"
    if isinstance(value, int | float) and value > MAX_NUMBER:
        return "infinite"
    return _amount(value)


def _ratio(value: Any) -> int | float | str:
    if not isinstance(value, str):
        return _amount(value)
    if value != "auto" and number(float(value)) <= 0:
        raise Unusable("is no ratio")
    return text(value)


def _percentage(value: Any) -> int | float:
    plain = number(value)
    if not 0 <= plain <= 100:
        raise Unusable("is no percentage")
    return plain


def _count(value: Any) -> int | float:
    if not isinstance(value, int):
        raise Unusable("is no whole number")
    return number(value)


def _yes_no(value: Any) -> bool | str:
    if isinstance(value, str):
        # Drivers of Cinder report 'True'; filters compare the text, so it stays one.
        strutils.bool_from_string(value, strict=True)
        return text(value)
    if not isinstance(value, bool):
        raise Unusable("is no truth value")
    return value


def _certain(value: Any) -> bool:
    """Take no text for a statement on which data depends."""
    if not isinstance(value, bool):
        raise Unusable("is neither true nor false")
    return value


def _expression(value: Any) -> str | None:
    return None if value is None else text(value)


_Rule = tuple[Callable[[Any], Any], str]
"""Returns the value to report, or raises ValueError; and the wanted kind in words."""

_TEXT: _Rule = (text, "a string")
_YES_NO: _Rule = (_yes_no, "true or false")
_CERTAIN: _Rule = (_certain, "true or false, no text")
_GIB: _Rule = (_capacity, "GiB, 'unknown' or 'infinite'")
_GIB_ONLY: _Rule = (_amount, "GiB")

REQUIRED: Mapping[str, _Rule] = {
    "volume_backend_name": _TEXT,
    "vendor_name": _TEXT,
    "driver_version": _TEXT,
    "storage_protocol": _TEXT,
}

CAPACITY: Mapping[str, _Rule] = {"total_capacity_gb": _GIB, "free_capacity_gb": _GIB}
"""Required too: of each pool, or of the backend if it lists none."""

OPTIONAL: Mapping[str, _Rule] = {
    "reserved_percentage": (_percentage, "a percentage"),
    "location_info": _TEXT,
    "QoS_support": _YES_NO,
    "allocated_capacity_gb": _GIB_ONLY,
    "provisioned_capacity_gb": _GIB_ONLY,
    "max_over_subscription_ratio": (_ratio, "a number or 'auto'"),
    "thin_provisioning_support": _YES_NO,
    "thick_provisioning_support": _YES_NO,
    "total_volumes": (_count, "a whole number"),
    "filter_function": (_expression, "an expression"),
    "goodness_function": (_expression, "an expression"),
    "multiattach": _YES_NO,
    "sparse_copy_volume": _YES_NO,
    "new_volumes_are_zero": _CERTAIN,
    "online_extend_support": _YES_NO,
}

_KNOWN: Mapping[str, _Rule] = {**CAPACITY, **OPTIONAL, **REQUIRED}


class StatsError(Exception):
    """The statistics cannot be used at all; the last ones stay in effect."""


class StatsCheck:
    """Check the statistics of one backend, and log each malformed field once.

    :param backend: the backend's name, for the log.
    :param host: ``host@backend``; with ``#`` and the pool it must fit a column of 255 characters.
    """

    def __init__(self, backend: str, host: str = "") -> None:
        self._backend = backend
        self._longest_pool = 254 - len(host)
        self._logged: set[str] = set()

    def clean(self, stats: Any, *, complete: bool = True) -> dict[str, Any]:
        """Return the statistics without their malformed fields, and without unusable pools.

        :param complete: whether a required field that is missing is logged.
        :raises StatsError: no dict, or ``pools`` that are no list of dicts.
        """
        if not isinstance(stats, Mapping):
            kind = type(stats).__name__
            raise StatsError(f"backend {self._backend}: get_volume_stats returned a {kind}")
        top = dict(stats)
        pools = top.pop("pools", None)
        values = ReportValues(self.log)
        if pools is None:
            required = {**REQUIRED, **CAPACITY} if complete else {}
            return self._fields(top, required, "", values)
        if not isinstance(pools, list) or not all(isinstance(pool, Mapping) for pool in pools):
            raise StatsError(f"backend {self._backend}: pools is no list of dicts")
        clean = self._fields(top, REQUIRED if complete else {}, "", values)
        clean["pools"] = list(self._pools(pools, CAPACITY if complete else {}, values))
        return clean

    def _pools(
        self, pools: list[Mapping[Any, Any]], required: Mapping[str, _Rule], values: ReportValues
    ) -> Iterator[dict[str, Any]]:
        """Yield the pools with a usable name of their own."""
        names: set[str] = set()
        if len(pools) > MAX_ITEMS:
            self.log("pools", f"are {len(pools)}; those after the first {MAX_ITEMS} are left out")
        for position, pool in enumerate(pools[:MAX_ITEMS]):
            try:
                name = self._pool_name(pool)
            except Unusable as error:
                self.log(f"pool {position}: pool_name", f"{error}; the pool is left out")
                continue
            if name in names:
                self.log(f"pool {name}", "is listed twice; the second one is left out")
                continue
            names.add(name)
            rest = {key: value for key, value in pool.items() if key != "pool_name"}
            fields = self._fields(rest, required, f"pool {name}: ", values)
            yield {"pool_name": name, **fields}

    def _pool_name(self, pool: Mapping[Any, Any]) -> str:
        """Return the name, unchanged: it is a part of the hosts of volumes."""
        if "pool_name" not in pool:
            raise Unusable("is missing, which the scheduler needs")
        found = pool["pool_name"]
        try:
            name = text(found)
        except Unusable as error:
            raise Unusable(f"is {_shown(found)}, not a string") from error
        if not name or name != found or "#" in name or len(name) > self._longest_pool:
            raise Unusable(f"is {_shown(found)}, which cannot stand behind the # of a host")
        return name

    def _fields(
        self,
        fields: Mapping[Any, Any],
        required: Mapping[str, _Rule],
        where: str,
        values: ReportValues,
    ) -> dict[str, Any]:
        for name in required:
            if name not in fields:
                self.log(f"{where}{name}", "is missing, which the scheduler needs")
        found: dict[str, Any] = {}
        # Fields that the scheduler needs come first, while there is room in the report.
        for name in _KNOWN.keys() & fields.keys():
            self._known(name, fields[name], where, values, found)
        rest = [name for name in fields if name not in _KNOWN]
        if len(rest) > MAX_ITEMS:
            self.log(f"{where}the driver's own fields", f"are {len(rest)}, not {MAX_ITEMS}")
        for name in rest[:MAX_ITEMS]:
            self._own(name, fields[name], where, values, found)
        return {name: found[name] for name in fields if name in found}

    def _known(
        self, name: str, value: Any, where: str, values: ReportValues, found: dict[str, Any]
    ) -> None:
        reported, wanted = _KNOWN[name]
        try:
            plain = reported(value)
            if isinstance(plain, str):
                values.take(plain)
        except ValueError:
            self.log(f"{where}{name}", f"is {_shown(value)}, not {wanted}; it is left out")
            if where and name in NOTIFIED:
                found[name] = None
            return
        if isinstance(plain, str) and plain != value:
            self.log(f"{where}{name}", f"is {_shown(value)}; it is reported as {_shown(plain)}")
        found[name] = plain

    def _own(
        self, name: Any, value: Any, where: str, values: ReportValues, found: dict[str, Any]
    ) -> None:
        """Take over a field that only the driver knows."""
        place = f"{where}{name if isinstance(name, str) else _shown(name)}"
        try:
            if name in _SCHEDULERS_OWN:
                raise Unusable("is the scheduler's own field")
            values.take(usable_key(name))
            found[name] = values.plain(value, place)
        except Unusable as error:
            self.log(place, f"{error}; it is left out")

    def log(self, field: str, problem: str) -> None:
        """Log a problem of a field, once."""
        shown = field[:_LONGEST_FIELD].encode("utf-8", "backslashreplace").decode("utf-8")
        if shown not in self._logged and len(self._logged) < _MAX_LOGGED:
            self._logged.add(shown)
            LOG.warning("backend %s: statistics: %s %s", self._backend, shown, problem)


def _shown(value: Any) -> str:
    """Return a value for the log, or its type where it has no representation."""
    try:
        found = repr(value)
    except Exception:  # noqa: BLE001 - an object of the driver's
        return f"a {type(value).__name__}"
    return found if len(found) <= _SHOWN else f"{found[:_SHOWN]}…"
