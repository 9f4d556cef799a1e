# SPDX-License-Identifier: Apache-2.0
"""Count how often the process died while it handled one message that was delivered again.

A message that ends its process goes back to its queue and ends the next one. The broker's own
count cannot tell it from the messages that only waited in the same process, so a file notes the
message that is being handled. A death leaves the file, and the next delivery of that message
finds it. Only messages that come again are noted: others cost nothing. One of them is handled at
a time, whichever thread does it, so that a death counts for the message that caused it and not
for the one that was read beside it.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOG = logging.getLogger(__name__)

DEATHS_MAX = 2
"""Noted deaths after which a message is put aside: the third delivery that ended in one, since
the first delivery is not noted."""

_FORGET = 7 * 86400.0
"""Seconds after which the note of a message that did not come again is removed."""


class DeadlyMessage(ValueError):
    """A message whose handling has ended the process several times."""


class DeliveryNote:
    """The file of one message that came again, which is there while the message is handled.

    :param path: None for a message that is delivered for the first time: it is not noted.
    :param alone: held while any message that is noted is handled.
    """

    def __init__(self, path: Path | None = None, alone: threading.Lock | None = None) -> None:
        self._path = path
        self._alone = alone or threading.Lock()

    @contextmanager
    def decoding(self) -> Iterator[None]:
        """Return a block in which the message is decoded; earlier deaths stay noted.

        :raises DeadlyMessage: it has ended the process too often; its note is removed.
        """
        if self._path is None:
            yield
            return
        deaths = _read(self._path)
        if deaths >= DEATHS_MAX:
            _write(self._path, 0)
            raise DeadlyMessage(f"the process ended in {deaths + 1} deliveries of it")
        with self._handling(self._path, deaths, deaths):
            yield

    @contextmanager
    def dispatching(self) -> Iterator[None]:
        """Return a block in which its method is found: the last step, which removes the note."""
        if self._path is None:
            yield
            return
        with self._handling(self._path, _read(self._path), 0):
            yield

    @contextmanager
    def _handling(self, path: Path, deaths: int, deaths_after: int) -> Iterator[None]:
        with self._alone:
            _write(path, deaths + 1)
            try:
                yield
            except Exception:  # it is put aside: nothing follows
                deaths_after = 0
                raise
            finally:
                _write(path, deaths_after)


NOT_COUNTED = DeliveryNote()
"""Of a message that is delivered for the first time."""


class Deliveries:
    """Notes of one service's processes, which share a directory.

    :param directory: made when the first note is written; None to note nothing.
    """

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        self._alone = threading.Lock()

    def prepare(self) -> None:
        """Remove the notes of messages that did not come again."""
        before = time.time() - _FORGET
        for path in self._notes():
            with contextlib.suppress(OSError):
                if path.stat().st_mtime < before:
                    path.unlink()

    def note(self, body: object, redelivered: bool) -> DeliveryNote:
        """Return the note of a message, which is written while it is handled."""
        if self._directory is None or not redelivered or not isinstance(body, bytes | str):
            return NOT_COUNTED
        raw = body.encode(errors="replace") if isinstance(body, str) else body
        return DeliveryNote(self._directory / hashlib.sha256(raw).hexdigest(), self._alone)

    def _notes(self) -> list[Path]:
        try:
            return list(self._directory.iterdir()) if self._directory is not None else []
        except OSError:
            return []


def _read(path: Path) -> int:
    try:
        return max(0, int(path.read_text(encoding="ascii")))
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
