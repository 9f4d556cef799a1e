# SPDX-License-Identifier: Apache-2.0
"""Debug lines about calls and messages, with their arguments in short.

Objects are named by kind and id, and mappings by their keys: values may be secrets, and long.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from drivers.interface.records import Record

CALLS = MESSAGES = logging.getLogger(__name__)

_LONGEST = 80
"""Characters of a text."""

_MOST = 12
"""Keys of a mapping, or arguments."""

_SCALARS = (bool, int, float, type(None))


@contextmanager
def logged_call(
    client: object,
    method: str,
    args: tuple[Any, ...] = (),
    named: Mapping[str, Any] | None = None,
) -> Iterator[None]:
    """Log the begin and the end of a call at the debug level."""
    if not CALLS.isEnabledFor(logging.DEBUG):
        yield
        return
    call = f"{type(client).__name__}.{method}"
    CALLS.debug("%s(%s) begins", call, arguments(args, named or {}))
    began = time.monotonic()
    try:
        yield
    except BaseException as error:
        took = time.monotonic() - began
        CALLS.debug("%s raised after %.3f s: %s: %s", call, took, type(error).__name__, error)
        raise
    CALLS.debug("%s returned after %.3f s", call, time.monotonic() - began)


class ShownMessage:
    """A message in a line of the log; nothing is read unless the line is written.

    :param message: the method and the arguments, as they are sent.
    """

    def __init__(self, message: Mapping[str, Any]) -> None:
        self._message = message

    def __str__(self) -> str:
        args = self._message.get("args")
        shown = arguments((), args) if isinstance(args, Mapping) else ""
        return f"{shown_value(self._message.get('method'), quotes=False)}({shown})"


def arguments(args: tuple[Any, ...], named: Mapping[Any, Any]) -> str:
    """Return the arguments of a call in short."""
    parts = [shown_value(value) for value in args]
    parts += [f"{str(key)[:_LONGEST]}={shown_value(value)}" for key, value in named.items()]
    return ", ".join(parts[:_MOST]) + (", …" if len(parts) > _MOST else "")


def shown_value(value: object, *, quotes: bool = True) -> str:
    """Return a value in short."""
    if isinstance(value, _SCALARS):
        return str(value)
    if isinstance(value, str):
        text = value if len(value) <= _LONGEST else f"{value[:_LONGEST]}…"
        return repr(text) if quotes else text
    if isinstance(value, Record):
        return f"{value.kind} {value.get('id')}"
    if isinstance(value, Mapping):
        return _mapping(value)
    if isinstance(value, list | tuple | set | frozenset):
        return f"{type(value).__name__} of {len(value)}"
    return type(value).__name__


def _mapping(value: Mapping[Any, Any]) -> str:
    """Return an object of the bus by its name and id, another mapping by its keys."""
    name, data = value.get("versioned_object.name"), value.get("versioned_object.data")
    if isinstance(name, str) and isinstance(data, Mapping):
        return f"{name[:_LONGEST]} {shown_value(data.get('id'), quotes=False)}"
    keys = ", ".join(str(key)[:_LONGEST] for key in list(value)[:_MOST])
    return f"{{{keys}{', …' if len(value) > _MOST else ''}}}"
