# SPDX-License-Identifier: Apache-2.0
"""Errors of a local disk in words for an operator, and atomic writes of files."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from drivers.interface.errors import BackupDriverException

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def reason(error: OSError) -> str:
    """Return the reason of a failure, and advice where there is any."""
    text = os.strerror(error.errno or 0)
    return f"{text}: free or add space" if error.errno in _NO_ROOM else text


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Name a transfer's own file, or its directory, when it fails.

    :raises BackupDriverException: the disk refused.
    """
    try:
        yield
    except OSError as error:
        text = f"cannot use {path} of backup_work_path: {reason(error)}"
        raise BackupDriverException(text) from error
