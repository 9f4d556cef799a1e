# SPDX-License-Identifier: Apache-2.0
"""Groups, by a driver of Cinder's: the generic methods, and those of consistency groups."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from drivers.cinder.adapter import CinderDriver
from drivers.cinder.error_translation import translated
from drivers.cinder.translation import cinders, context, listed
from drivers.interface.records import Record


def passed_on(name: str) -> Callable[..., Any]:
    """Return a method that translates each record and list of records in its arguments.

    The driver's answer consists of dicts, which mean the same on both sides (spec/interfaces §5).
    """

    def method(self: CinderDriver, request: Any, *arguments: Any, **named: Any) -> Any:
        given = [_turned(argument, request) for argument in arguments]
        more = {key: _turned(value, request) for key, value in named.items()}
        with translated():
            return getattr(self._made, name)(context(request), *given, **more)

    method.__name__ = name
    return method


def _turned(value: Any, request: Any) -> Any:
    if isinstance(value, Record):
        return cinders(value, request)
    return listed(value, request) if isinstance(value, list | tuple) else value


GENERIC = {
    name: passed_on(name)
    for name in (
        *("create_group", "create_group_from_src", "delete_group", "update_group"),
        *("create_group_snapshot", "delete_group_snapshot"),
    )
}
"""Of :class:`drivers.interface.group.VolumeGroupDriver`."""

CONSISTENT = {
    name: passed_on(name)
    for name in (
        *("create_consistencygroup", "create_consistencygroup_from_src"),
        *("delete_consistencygroup", "update_consistencygroup"),
        *("create_cgsnapshot", "delete_cgsnapshot"),
    )
}
"""Of :class:`drivers.interface.group.VolumeConsistencyGroupDriver`."""
