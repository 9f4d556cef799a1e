# SPDX-License-Identifier: Apache-2.0
"""Statistics as a careless or hostile driver returns them, for property tests."""

from __future__ import annotations

import enum
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from worker.backends.stats import CAPACITY, OPTIONAL, REQUIRED


class _Level(enum.IntEnum):
    LOW = 1


class _Quantity(float):
    pass


class _NoRepr:
    def __repr__(self) -> str:
        raise RuntimeError("no representation")

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:
        """Let hypothesis print a failed example."""
        printer.text("_NoRepr()")

    __hash__ = None  # type: ignore[assignment]


_NUMBERS = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True),
    st.integers(),
    st.sampled_from([0, 1, -1, 0.004, 0.01, 50, 99, 100, 1e15, 1e300, 10**400]),
    st.builds(lambda: 10**5000),  # which has no representation
    st.sampled_from([_Level.LOW, _Quantity(3.5), _Quantity("nan"), True, False, Decimal(7)]),
)

_TEXTS = st.one_of(
    st.text(max_size=20),
    st.text(st.characters(categories=["Cs", "Cc", "So"]), max_size=8),
    st.sampled_from(["", "infinite", "unknown", "auto", "nan", "inf", "20", "iSCSI", "x" * 10_000]),
)

_SCALARS = st.one_of(
    _NUMBERS,
    _TEXTS,
    st.none(),
    st.binary(max_size=5),
    st.builds(object),
    st.builds(_NoRepr),
    st.dates(),
)

_ANYTHING = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.tuples(inner, inner),
        st.dictionaries(st.one_of(_TEXTS, st.integers(), st.none()), inner, max_size=4),
    ),
    max_leaves=12,
)

_EXPRESSIONS = st.sampled_from(
    [
        "100",
        "volume.size < 5",
        "capabilities.total_volumes * 2",
        "stats.free_capacity_gb",
        "capabilities.vendor",
        "'text'",
        "'nan'",
        "(0 - 8) ^ 0.5",
        "1, 2",
        "'a'), ('b'",
        "volume.size > 1 ? 'a' : 7",
        "((",
        "",
        "1 / 0",
        "9^9^9^9",
        "9 ^ (99999999)",
        "stats.free_capacity_gb * 1073741824",
    ]
)

_SENSIBLE: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(CAPACITY, st.sampled_from([0, 0.004, 1, 100, 100.5, "infinite", "unknown"])),
    "reserved_percentage": st.sampled_from([0, 20, 99.9, 100]),
    "provisioned_capacity_gb": st.sampled_from([0, 1, 500]),
    "max_over_subscription_ratio": st.sampled_from(["auto", "1.5", 0.5, 1, 20, 0]),
    "thin_provisioning_support": st.booleans(),
    "thick_provisioning_support": st.booleans(),
    "storage_protocol": st.sampled_from(["iSCSI", "FC", "nfs"]),
    "filter_function": _EXPRESSIONS,
    "goodness_function": _EXPRESSIONS,
}

OWN = ("timestamp", "vendor", "level", "service")
"""Names of the driver's own fields, beside arbitrary ones."""


def _fields(*names: str) -> st.SearchStrategy[dict[Any, Any]]:
    known = st.fixed_dictionaries(
        {},
        optional={
            name: st.one_of(_SENSIBLE.get(name, _TEXTS), _SENSIBLE.get(name, _TEXTS), _ANYTHING)
            for name in names
        },
    )
    keys = st.one_of(st.sampled_from(OWN), _TEXTS, st.integers())
    own = st.dictionaries(keys, _ANYTHING, max_size=4)
    return st.builds(lambda first, second: {**first, **second}, own, known)


_POOL_NAMES = st.one_of(st.sampled_from(["p1", "p2", "p1", "a#b", "x" * 300]), _ANYTHING)

_POOLS = st.builds(
    lambda name, fields: {**fields, **({} if name is ... else {"pool_name": name})},
    st.one_of(_POOL_NAMES, st.sampled_from(["p1", "p2", ...])),
    _fields(*CAPACITY, *OPTIONAL, *REQUIRED),
)

STATS: st.SearchStrategy[dict[Any, Any]] = st.builds(
    lambda fields, pools: {**fields, **({} if pools is None else {"pools": pools})},
    _fields(*REQUIRED, *CAPACITY, *OPTIONAL),
    st.one_of(st.none(), st.lists(_POOLS, max_size=4)),
)
"""A driver's answer."""
