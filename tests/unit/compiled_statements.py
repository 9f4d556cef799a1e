# SPDX-License-Identifier: Apache-2.0
"""Compiled statements that all engines of SQLite in this process share.

SQLAlchemy compiles a statement once for each engine, and nearly every test of the database has
an engine of its own: a third of the time of these tests.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

_PLAIN = (str, int, tuple, type(None))


class SharedCache(MutableMapping[tuple[Any, ...], Any]):
    """A view on one dictionary for engines with the same settings of their dialect.

    The first item of a key is the dialect of the engine, which the settings replace.
    """

    def __init__(self, found: dict[Any, Any], settings: tuple[Any, ...]) -> None:
        self._found, self._settings = found, settings

    def __getitem__(self, key: tuple[Any, ...]) -> Any:
        return self._found[(self._settings, *key[1:])]

    def get(self, key: tuple[Any, ...], default: Any = None) -> Any:
        return self._found.get((self._settings, *key[1:]), default)

    def __setitem__(self, key: tuple[Any, ...], compiled: Any) -> None:
        self._found[(self._settings, *key[1:])] = compiled

    def __delitem__(self, key: tuple[Any, ...]) -> None:
        del self._found[(self._settings, *key[1:])]

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


def settings(dialect: sa.engine.Dialect) -> tuple[Any, ...]:
    """Return every setting of a dialect that may change its SQL or its conversions."""
    plain = {name: value for name, value in vars(dialect).items() if isinstance(value, _PLAIN)}
    converters = [vars(dialect).get(f"_json_{name}") for name in ("serializer", "deserializer")]
    return (type(dialect), *sorted(plain.items()), *converters)


@contextmanager
def shared() -> Iterator[None]:
    """Give each connection of SQLite the shared statements."""
    found: dict[Any, Any] = {}
    view = functools.cache(functools.partial(SharedCache, found))

    def connected(connection: sa.Connection) -> None:
        if connection.dialect.name == "sqlite":
            connection.execution_options(compiled_cache=view(settings(connection.dialect)))

    sa.event.listen(sa.Engine, "engine_connect", connected)
    try:
        yield
    finally:
        sa.event.remove(sa.Engine, "engine_connect", connected)
