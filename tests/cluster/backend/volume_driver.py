# SPDX-License-Identifier: Apache-2.0
"""The local driver over a directory that all hosts share, with a history of its calls.

A resource whose display name begins with ``slow:3.5`` takes 3.5 s in each call that changes
it. Such a call changes the resource again and again meanwhile: each time it appends the name
of its process to the object's own file below ``effects``, so a late change of a process that
lost its slot is seen on the object as well.
"""

from __future__ import annotations

import inspect
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from oslo_config import cfg
from oslo_context import context as oslo_context

from drivers.interface.records import Record
from drivers.volume.local import LocalDriver
from tests.cluster.backend.history import EFFECT, Call, History, append

CHANGES: Mapping[str, tuple[str, ...]] = {
    "create_volume": (),
    "create_volume_from_snapshot": ("snapshot",),
    "create_cloned_volume": ("src_vref",),
    "delete_volume": (),
    "extend_volume": (),
    "create_snapshot": (),
    "delete_snapshot": (),
    "revert_to_snapshot": ("snapshot",),
    "initialize_connection": (),
    "terminate_connection": (),
}
"""Methods that change the first record among their arguments, and the arguments they read."""

STEP = 0.1
"""Seconds between two changes of a slow call."""


def slowness(record: Record) -> float:
    """Return how many seconds a call on a resource takes."""
    word = str(record.get("display_name") or "").partition(" ")[0]
    return float(word.removeprefix("slow:")) if word.startswith("slow:") else 0.0


def request_id() -> str:
    """Return the id of the request that this thread works for."""
    context = oslo_context.get_current()
    return str(context.request_id or "") if context is not None else ""


class SharedDriver(LocalDriver):
    """Sparse files in a directory of all hosts."""

    OPTS: ClassVar[list[cfg.Opt]] = [*LocalDriver.OPTS]

    def __init__(self, configuration: Any, *, host: str, **more: Any) -> None:
        super().__init__(configuration, host=host, **more)
        self._history = History.from_environment()
        self._effects = self._history.path.parent / "effects"

    def files_directory(self) -> str | None:
        """Name no directory: the hosts share one, which is there."""
        return None

    def failover_completed(self, context: Any, active_backend_id: str | None = None) -> None:
        """Learn the end of a failover on another host."""

    def connected(self, name: str, record: Record) -> None:
        """Keep a file for each volume that is connected."""
        place = self._history.path.parent / "connections" / f"connection-{record.id}"
        if name == "initialize_connection":
            place.touch()
        elif name == "terminate_connection":
            place.unlink(missing_ok=True)

    def change(self, call: Call, name: str) -> None:
        """Leave a trace of this process on an object."""
        append(self._effects / name, f"{self._history.life} {call.request} {call.method}")
        call.note(EFFECT)


def _recorded(name: str) -> Callable[..., Any]:
    """Return a method of the driver with its history."""
    original = getattr(LocalDriver, name)
    signature = inspect.signature(original)

    def method(self: SharedDriver, *args: Any, **more: Any) -> Any:
        given = signature.bind(self, *args, **more).arguments
        record = next(one for one in given.values() if isinstance(one, Record))
        reads = [given[which].id for which in CHANGES[name]]
        if name == "create_snapshot":
            reads.append(record.volume_id)
        with self._history.call(name, record.id, reads, request_id()) as call:
            self.change(call, record.id)
            half = slowness(record) / 2
            _linger(self, call, record.id, half)
            answer = original(self, *args, **more)
            self.connected(name, record)
            _linger(self, call, record.id, half)
            self.change(call, record.id)
        return answer

    method.__name__ = name
    method.__doc__ = original.__doc__
    method.__signature__ = signature  # type: ignore[attr-defined]
    return method


def _linger(driver: SharedDriver, call: Call, name: str, seconds: float) -> None:
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(left, STEP))
        driver.change(call, name)


for _name in CHANGES:
    setattr(SharedDriver, _name, _recorded(_name))


def prepare(directory: Path) -> None:
    """Make the directories of the backend."""
    os.makedirs(directory / "effects", exist_ok=True)
    os.makedirs(directory / "volumes", exist_ok=True)
    os.makedirs(directory / "connections", exist_ok=True)
    os.makedirs(directory / "backups", exist_ok=True)
