# SPDX-License-Identifier: Apache-2.0
"""Replacements of the bus and the clock around a flow, and faults at each effect."""

from __future__ import annotations

import dataclasses
import functools
import threading
from collections.abc import Callable
from typing import Any, Protocol

from flows.errors import ProcessStopping

_READS = (
    "get",
    "current",
    "with_columns",
    "count",
    "connector",
    "of_volume",
    "members",
    "named",
    "qos",
    "snapshot_revert_use_temp_snapshot",
    "show",
    "get_location",
    "called",
    "volumes",
    "replicated_groups",
    "of_image",
    "every",
    "run",
    "fills_image_cache",
    "passphrase",
    "naming_key",
    "find",
    "dependants",
    "being_made_of",
)


class Killed(ProcessStopping):
    """kill -9, as the flow sees it."""


class Patient(threading.Event):
    """A stopping event whose waits take no time."""

    def wait(self, timeout: float | None = None) -> bool:
        return self.is_set()


@dataclasses.dataclass
class Request:
    user_id: str | None = "u"
    project_id: str | None = "p"
    request_id: str | None = "req-1"
    is_admin: bool = False
    roles: list[str] = dataclasses.field(default_factory=list)

    def elevated(self) -> Request:
        return dataclasses.replace(self, is_admin=True)

    def to_wire(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


class Noted:
    """Notes each call of any method as ``(method, positional, named)``."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self.error: BaseException | None = None

    def __getattr__(self, name: str) -> Callable[..., None]:
        def note(*args: Any, **kwargs: Any) -> None:
            if self.error is not None:
                raise self.error
            self.calls.append((name, args, kwargs))

        return note


class Striking(Protocol):
    """Counts effects, and injects the fault."""

    effects: list[str]

    def require_life(self) -> None: ...

    def strike(self, moment: str, name: str) -> None: ...


class Watched:
    """A collaborator whose effects are counted, and cut short where the world says so."""

    def __init__(self, target: Any, name: str, world: Striking) -> None:
        self._target, self._name, self._world = target, name, world

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)
        if not callable(found):
            return found

        @functools.wraps(found)
        def call(*args: Any, **kwargs: Any) -> Any:
            if name in _READS:
                self._world.require_life()
                return found(*args, **kwargs)
            with Effect(self._world, f"{self._name}.{name}"):
                return found(*args, **kwargs)

        return call


class Effect:
    """One effect, which the world may cut short before or after."""

    def __init__(self, world: Striking, name: str) -> None:
        self._world, self._name = world, name

    def __enter__(self) -> None:
        self._world.require_life()
        self._world.effects.append(self._name)
        self._world.strike("before", self._name)

    def __exit__(self, *_: Any) -> None:
        self._world.strike("after", self._name)
