# SPDX-License-Identifier: Apache-2.0
"""History of the calls that reach a backend, in one file that all hosts append to.

The backend writes it, not the worker: a process that was thought dead and still acts leaves
its lines. Each line is one ``write`` to a file that was opened with ``O_APPEND``, so lines
of different processes are never mixed. Times are those of the machine's monotonic clock,
which is the same for all hosts, however their time of day is set.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

VARIABLE = "HOLDFAST_HISTORY"
"""Environment variable with the file's path."""

HOST = "HOLDFAST_HOST"
"""Environment variable with the name of the host."""

BEGIN, EFFECT, END, FAILED = "begin", "effect", "end", "failed"
"""Events of a call. An effect is a moment at which it changes its resource."""


_owned: dict[str, Any] = {}


def own(slot: str, epoch: int) -> None:
    """Note that this process owns a slot from now on."""
    _owned.update(slot=slot, epoch=epoch)


@dataclass(frozen=True)
class Line:
    """One event of one call.

    :param call: the call's id.
    :param life: the process, unique over all hosts and restarts.
    :param request: id of the request that the operation belongs to.
    :param resource: id of the object that the call changes; empty for a call that only reads.
    :param reads: ids of objects that it reads.
    :param moment: the machine's monotonic clock.
    :param wall: the host's time of day.
    :param epoch: under which the process owns its slot; None for one without leases.
    :param slot: of the process.
    """

    event: str
    call: str
    method: str
    host: str
    pid: int
    life: str
    request: str
    resource: str
    reads: tuple[str, ...]
    moment: float
    wall: float = 0.0
    epoch: int | None = None
    slot: str = ""

    @classmethod
    def from_json(cls, text: str) -> Line:
        """Read a line of the file."""
        known = json.loads(text)
        return cls(**{**known, "reads": tuple(known["reads"])})


@dataclass
class History:
    """The file, as a process of a host writes it."""

    path: Path
    host: str
    _life: tuple[int, str] = (0, "")
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def from_environment(cls) -> History:
        """Return the history that the rig has named."""
        return cls(Path(os.environ[VARIABLE]), os.environ.get(HOST, "?"))

    @contextlib.contextmanager
    def call(
        self, method: str, resource: str, reads: Sequence[str] = (), request: str = ""
    ) -> Iterator[Call]:
        """Write the begin and the end of a call."""
        entry = Call(self, method, resource, tuple(reads), request)
        entry.note(BEGIN)
        try:
            yield entry
        except BaseException:
            entry.note(FAILED)
            raise
        entry.note(END)

    @property
    def life(self) -> str:
        """The name of this process, made anew after a fork."""
        with self._lock:
            if self._life[0] != os.getpid():
                self._life = (os.getpid(), f"{self.host}-{os.getpid()}-{secrets.token_hex(3)}")
            return self._life[1]

    def write(self, line: Line) -> None:
        """Append a line."""
        append(self.path, json.dumps(asdict(line)))


@dataclass(frozen=True)
class Call:
    """A call that has begun."""

    history: History
    method: str
    resource: str
    reads: tuple[str, ...]
    request: str
    id: str = field(default_factory=lambda: secrets.token_hex(6))

    def note(self, event: str) -> None:
        """Write an event of the call now."""
        self.history.write(
            Line(
                event=event,
                call=self.id,
                method=self.method,
                host=self.history.host,
                pid=os.getpid(),
                life=self.history.life,
                request=self.request,
                resource=self.resource,
                reads=self.reads,
                moment=time.monotonic(),
                wall=time.time(),
                epoch=_owned.get("epoch"),
                slot=_owned.get("slot", ""),
            )
        )


def append(path: Path, text: str) -> None:
    """Append a line to a file by one system call."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        os.write(descriptor, text.encode() + b"\n")
    finally:
        os.close(descriptor)


def read(path: Path) -> list[Line]:
    """Return all lines in the order of their writing."""
    if not path.exists():
        return []
    return [Line.from_json(text) for text in path.read_text().splitlines() if text]


def facts(line: Line) -> dict[str, Any]:
    """Return a line for a message."""
    return {key: value for key, value in asdict(line).items() if value not in ("", (), None)}
