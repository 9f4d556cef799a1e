# SPDX-License-Identifier: Apache-2.0
"""Modes of the files and directories that a process makes: nothing is for everybody."""

from __future__ import annotations

import os
import stat

_MASK = 0o027
"""Files are for the owner, and read by the group."""


def restrict() -> None:
    """Set the mask of this process, and of those that it starts; a stricter one stays."""
    os.umask(os.umask(0o077) | _MASK)


def close_to_others(path: str) -> bool:
    """Take the write permission of a directory from everybody, if others can replace its files.

    :returns: whether it is safe now; False where another user owns it.
    """
    found = os.stat(path)
    mode = stat.S_IMODE(found.st_mode)
    if not mode & stat.S_IWOTH or mode & stat.S_ISVTX:
        return True
    if found.st_uid != os.geteuid():
        return False
    os.chmod(path, mode & ~stat.S_IWOTH)
    return True
