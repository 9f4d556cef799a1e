# SPDX-License-Identifier: Apache-2.0
"""Copy several files as of one moment, even while they are written to.

Exports are paused while the files are copied. Other processes may write to the files
unnoticed. So the times of the files are compared: if a file changed between the begin of the
first copy and the end of the last one, all copies are removed and made again. After five such
attempts the files are reported as busy.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass

from drivers.interface.errors import VolumeIsBusy
from drivers.interface.export import ExportDriver
from drivers.volume.files import Directory
from drivers.volume.sparse_copy import ChangedMeanwhile

LOG = logging.getLogger(__name__)

_TRIES = 5
_TICK_NS = 20_000_000
"""Nanoseconds within which a file may be written to twice and show the same time."""

_PAUSE = 0.05


@dataclass(frozen=True)
class FileCopy:
    """One copy to be made.

    :param size: its length in bytes; None for that of the source.
    """

    source: str
    target: str
    size: int | None = None


def copy_together(
    files: Directory, export: ExportDriver | None, copies: Sequence[FileCopy]
) -> None:
    """Make all copies, or none; a file of a copy's name is replaced.

    :raises VolumeIsBusy: a process that cannot be suspended keeps writing to them.
    """
    names = [copy.source for copy in copies]
    for number in range(_TRIES):
        pause = contextlib.nullcontext() if export is None else export.held(names)
        try:
            with pause:
                before = _quiet(files, names)
                for copy in copies:
                    files.copy(copy.source, copy.target, copy.size)
                if _times(files, names) == before:
                    return
        except ChangedMeanwhile:
            LOG.debug("%s was written to while it was copied", copy.source)
        except BaseException:
            _remove(files, copies)
            raise
        LOG.info("%s written to while copied together, try %d", ", ".join(names), number + 1)
        time.sleep(_PAUSE)
    _remove(files, copies)
    text = "they are written to in a way that cannot be held: detach them, or export them by nbd"
    raise VolumeIsBusy(f"{', '.join(names)} cannot be copied as of one moment: {text}")


def _quiet(files: Directory, names: Sequence[str]) -> list[tuple[int, int]]:
    """Wait until a further write would show, and return the files' times and sizes."""
    found = _times(files, names)
    newest = max((changed for changed, _ in found), default=0)
    wait = newest + _TICK_NS - time.time_ns()
    if 0 < wait <= _TICK_NS:
        time.sleep(wait / 1e9)
    return found


def _times(files: Directory, names: Sequence[str]) -> list[tuple[int, int]]:
    found = []
    for name in names:
        with files.opened(name) as fd:
            entry = os.fstat(fd)
        found.append((entry.st_mtime_ns, entry.st_size))
    return found


def _remove(files: Directory, copies: Sequence[FileCopy]) -> None:
    for copy in copies:
        with contextlib.suppress(OSError):
            files.remove(copy.target)
