# SPDX-License-Identifier: Apache-2.0
"""Count how often the process died while it handled one message that was delivered again.

A message that ends its process goes back to its queue and ends the next one. The broker's own
count cannot tell it from the messages that only waited in the same process, so a file notes the
message that is being handled. A death leaves the file, and the next delivery of that message
finds it. Only messages that come again are noted: others cost nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

LOG = logging.getLogger(__name__)

DEATHS_MAX = 2
"""Noted deaths after which a message is put aside: the third delivery that ended in one, since
the first delivery is not noted."""

_FORGET = 7 * 86400.0
"""Seconds after which the note of a message that did not come again is removed."""

Noting = Callable[[], AbstractContextManager[None]]
"""Gives a block in which the message is noted as being handled."""

UNNOTED: Noting = nullcontext


class DeadlyMessage(ValueError):
    """A message whose handling has ended the process several times."""


class Deliveries:
    """Notes of one service's processes, which share a directory.

    :param directory: made when the first note is written; None to note nothing.
    """

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory

    def prepare(self) -> None:
        """Remove the notes of messages that did not come again."""
        before = time.time() - _FORGET
        for path in self._notes():
            with contextlib.suppress(OSError):
                if path.stat().st_mtime < before:
                    path.unlink()

    def noting(self, body: object, redelivered: bool) -> Noting:
        """Return how to note the handling of a message.

        :raises DeadlyMessage: it has ended the process too often; its note is removed.
        """
        if self._directory is None or not redelivered or not isinstance(body, bytes | str):
            return UNNOTED
        raw = body.encode(errors="replace") if isinstance(body, str) else body
        path = self._directory / hashlib.sha256(raw).hexdigest()
        deaths = _read(path)
        if deaths >= DEATHS_MAX:
            _write(path, 0)
            raise DeadlyMessage(f"the process ended in {deaths + 1} deliveries of it")
        return lambda: _noted(path, deaths)

    def _notes(self) -> list[Path]:
        try:
            return list(self._directory.iterdir()) if self._directory is not None else []
        except OSError:
            return []


@contextmanager
def _noted(path: Path, deaths: int) -> Iterator[None]:
    _write(path, deaths + 1)
    try:
        yield
    finally:
        _write(path, deaths)


def _read(path: Path) -> int:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0


def _write(path: Path, deaths: int) -> None:
    """Write a note that outlives the process, not the machine; none for no deaths."""
    try:
        if not deaths:
            path.unlink(missing_ok=True)
            return
        path.parent.mkdir(mode=0o700, exist_ok=True)
        path.write_text(str(deaths), encoding="ascii")
    except OSError as error:
        LOG.warning("deliveries of a message are not counted: %s", error)
