# SPDX-License-Identifier: Apache-2.0
"""What a local disk refuses, in words that an operator can act on, and writes that are whole."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from drivers.interface.errors import BackupDriverException

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def reason(error: OSError) -> str:
    """Return why something failed, and what to do where that is known."""
    text = os.strerror(error.errno or 0)
    return f"{text}: free or add space" if error.errno in _NO_ROOM else text


@contextlib.contextmanager
def work(path: Path) -> Iterator[None]:
    """Tell of a file, or of the directory, that a transfer has for itself when it fails.

    :raises BackupDriverException: the disk refused.
    """
    try:
        yield
    except OSError as error:
        text = f"cannot use {path} of backup_work_path: {reason(error)}"
        raise BackupDriverException(text) from error
