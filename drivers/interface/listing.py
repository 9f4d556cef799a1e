# SPDX-License-Identifier: Apache-2.0
"""The objects on a backend: one of them, and pages of a list of manageable ones.

The pages are for drivers that list everything at once; one whose backend sorts and pages by
itself has no need of it. Source: spec/volume-rpc, get_manageable_volumes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from drivers.interface.errors import InvalidInput

VOLUME, SNAPSHOT = "volume", "snapshot"


@dataclass(frozen=True)
class BackendObject:
    """One object.

    :param kind: ``volume`` or ``snapshot``.
    :param name: the ``source-name`` by which it can be managed: the ``name`` of a record; that of
        a snapshot may follow the name of its volume and an ``@``.
    :param size: GiB, rounded up; None where it is unknown.
    :param volume_name: the name of a snapshot's volume; None where it is unknown.
    :param owner: the id of its row, where the driver knows it by other means than the name.
    :param consumers: the hosts that have access to a volume; None where they are unknown.
    """

    kind: str
    name: str
    size: int | None = None
    volume_name: str | None = None
    owner: str | None = None
    consumers: tuple[str, ...] | None = None


_KEYS = {"identifier": "reference", "reference": "reference", "size": "size"}
_DIRECTIONS = {"asc": False, "desc": True}


def page(
    entries: Sequence[Mapping[str, Any]],
    marker: Any = None,
    limit: Any = None,
    offset: Any = None,
    sort_keys: Sequence[str] | None = None,
    sort_dirs: Sequence[str] | None = None,
) -> list[dict[str, Any]]:
    """Return the entries of one page.

    :param entries: each with a ``reference`` (dict of strings) and a ``size`` in GiB.
    :param marker: the reference after which the page begins, as a dict or as JSON text.
    :param limit: the longest that a page may be; None for no end.
    :param offset: how many entries after the marker are left out.
    :param sort_keys: of ``reference`` (also ``identifier``) and ``size``, the most
        important first.
    :param sort_dirs: ``asc`` or ``desc``, one for all keys or one for each.
    :raises InvalidInput: an unknown key, direction or marker, or numbers that are none.
    """
    found = [dict(entry) for entry in entries]
    for key, backwards in reversed(_order(sort_keys, sort_dirs)):
        found.sort(key=lambda entry: _sortable(entry[key]), reverse=backwards)
    begin = _after(found, marker) + _count(offset, "offset", 0)
    end = None if limit is None else begin + _count(limit, "limit", 0)
    return found[begin:end]


def _order(keys: Sequence[str] | None, directions: Sequence[str] | None) -> list[tuple[str, bool]]:
    wanted = list(keys or ["reference"])
    orders = list(directions or ["desc"])
    if unknown := [key for key in wanted if key not in _KEYS]:
        raise InvalidInput(f"sort key {unknown[0]!r} is none of {', '.join(sorted(_KEYS))}")
    if unknown := [one for one in orders if one not in _DIRECTIONS]:
        raise InvalidInput(f"sort direction {unknown[0]!r} is neither asc nor desc")
    if len(orders) > len(wanted):
        raise InvalidInput("there are more sort directions than sort keys")
    orders += [orders[-1]] * (len(wanted) - len(orders))
    return [(_KEYS[k], _DIRECTIONS[d]) for k, d in zip(wanted, orders, strict=True)]


def _sortable(value: Any) -> Any:
    return (
        sorted((str(k), str(v)) for k, v in value.items()) if isinstance(value, Mapping) else value
    )


def _after(entries: Sequence[Mapping[str, Any]], marker: Any) -> int:
    if marker is None or marker == "":
        return 0
    wanted = marker
    if isinstance(marker, str):
        try:
            wanted = json.loads(marker)
        except (ValueError, RecursionError):
            raise InvalidInput(f"marker {marker!r:.80} is no reference in JSON") from None
    for number, entry in enumerate(entries):
        if entry["reference"] == wanted:
            return number + 1
    raise InvalidInput(f"marker {marker!r:.80} is not in the list")


def _count(value: Any, label: str, otherwise: int) -> int:
    if value is None:
        return otherwise
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InvalidInput(f"{label} {value!r:.80} is no whole number from 0 on")
    return value
