# SPDX-License-Identifier: Apache-2.0
"""A scripted driver whose calls take time, and leave word of when they began and ended.

Times are of the monotonic clock, which all processes of a machine share, so that
calls in different processes can be compared.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from oslo_config import cfg

from tests.scripted.volume_driver import ScriptedDriver


class Call(NamedTuple):
    """One call of the driver.

    :param touched: ids of the resources that it changes.
    :param read: ids of the resources that must not change meanwhile.
    :param ended: None where the process was killed before the end.
    """

    pid: int
    method: str
    touched: frozenset[str]
    read: frozenset[str]
    began: float
    ended: float | None

    def excludes(self, other: Call) -> bool:
        """Say whether both may not run at once (spec: one lock for each resource)."""
        return bool(
            self.touched & (other.touched | other.read)
            or other.touched & (self.touched | self.read)
        )


class TimedDriver(ScriptedDriver):
    """Takes ``takes`` seconds for each call that changes something."""

    OPTS: ClassVar[list[cfg.Opt]] = [
        *ScriptedDriver.OPTS,
        cfg.FloatOpt("takes", default=0.0, help="Seconds that a call takes."),
    ]

    def create_volume(self, volume: Any) -> Any:
        with self._noted("create_volume", [volume.id]):
            return super().create_volume(volume)

    def create_cloned_volume(self, volume: Any, src_vref: Any) -> Any:
        with self._noted("create_cloned_volume", [volume.id], [src_vref.id]):
            return super().create_cloned_volume(volume, src_vref)

    def delete_volume(self, volume: Any) -> None:
        with self._noted("delete_volume", [volume.id]):
            super().delete_volume(volume)

    def extend_volume(self, volume: Any, new_size: int) -> None:
        with self._noted("extend_volume", [volume.id]):
            super().extend_volume(volume, new_size)

    def create_snapshot(self, snapshot: Any) -> Any:
        with self._noted("create_snapshot", [snapshot.id], [snapshot.volume_id]):
            return super().create_snapshot(snapshot)

    def delete_snapshot(self, snapshot: Any) -> None:
        with self._noted("delete_snapshot", [snapshot.id], [snapshot.volume_id]):
            super().delete_snapshot(snapshot)

    def _noted(self, method: str, touched: Iterable[str], read: Iterable[str] = ()) -> _Noted:
        directory = Path(self.configuration.script)
        return _Noted(directory, float(self.configuration.takes), method, touched, read)


class _Noted:
    """Writes one line as a call begins and one as it ends."""

    def __init__(
        self,
        directory: Path,
        takes: float,
        method: str,
        touched: Iterable[str],
        read: Iterable[str],
    ) -> None:
        self._path, self._takes = directory / "intervals", takes
        self._line = {
            "call": os.urandom(8).hex(),
            "pid": os.getpid(),
            "method": method,
            "touched": list(touched),
            "read": list(read),
        }

    def __enter__(self) -> None:
        self._write("began")
        time.sleep(self._takes)

    def __exit__(self, *_: object) -> None:
        self._write("ended")

    def _write(self, what: str) -> None:
        line = json.dumps({**self._line, what: time.monotonic()}) + "\n"
        # One write to a file opened for appending is never mixed with another one's.
        descriptor = os.open(self._path, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)


def calls(directory: Path) -> list[Call]:
    """Return the calls so far in the order in which they began."""
    path = directory / "intervals"
    found: dict[str, dict[str, Any]] = {}
    for line in path.read_text().splitlines() if path.exists() else ():
        noted = json.loads(line)
        found.setdefault(noted.pop("call"), {}).update(noted)
    return [
        Call(
            each["pid"],
            each["method"],
            frozenset(each["touched"]),
            frozenset(each["read"]),
            each["began"],
            each.get("ended"),
        )
        for each in found.values()
    ]


def overlaps(noted: Iterable[Call], deaths: dict[int, float]) -> list[tuple[Call, Call]]:
    """Return the pairs of calls that ran at once and must not have.

    :param deaths: when processes were killed, which ended their calls.
    """
    found, running = [], []
    for call in sorted(noted, key=lambda each: each.began):
        running = [each for each in running if _end(each, deaths) > call.began]
        found += [(each, call) for each in running if each.excludes(call)]
        running.append(call)
    return found


def _end(call: Call, deaths: dict[int, float]) -> float:
    return call.ended if call.ended is not None else deaths.get(call.pid, float("inf"))
