# SPDX-License-Identifier: Apache-2.0
"""Directories of the service: their modes, whatever the mask of the process is."""

from __future__ import annotations

import contextlib
import logging
import os
import stat
from pathlib import Path

LOG = logging.getLogger(__name__)

PRIVATE = 0o700
_PARENT = 0o755
_OTHERS_WRITE = 0o002


def make(path: Path, mode: int = PRIVATE, *, strict: bool = False) -> None:
    """Make a directory and those above it; restrict one of ours that everybody can write.

    :param strict: take away each permission that is not in the mode, not only that of
        everybody to write.
    :raises OSError: it cannot be made, or used.
    """
    missing = []
    one = path
    while not one.exists() and one != one.parent:
        missing.append(one)
        one = one.parent
    for one in reversed(missing):
        with contextlib.suppress(FileExistsError):
            os.mkdir(one, mode if one == path else _PARENT)
    path.mkdir(mode=mode, exist_ok=True)  # an error where it is a file
    found = path.stat()
    known = stat.S_IMODE(found.st_mode)
    surplus = known & (0o777 & ~mode if strict else _OTHERS_WRITE)
    if not surplus or (known & stat.S_ISVTX and not strict):
        return
    if found.st_uid == os.geteuid():
        path.chmod(known & ~surplus)
    elif known & _OTHERS_WRITE:
        LOG.warning("%s can be written by everybody and belongs to uid %d", path, found.st_uid)
