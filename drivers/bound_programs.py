# SPDX-License-Identifier: Apache-2.0
"""Programs that end with the process that starts them.

A worker that is killed must not leave a program that still writes to a volume: another process
may resume the operation already. ``setpriv`` of util-linux asks the kernel to kill the program
when the thread that started it ends, so that thread has to wait for the program. A worker that
died before the kernel was asked is noticed by its number, which the program's parent no longer
has. The kernel forgets all this when a program with more rights is executed, as ``sudo``.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from collections.abc import Sequence

_SETPRIV = "setpriv"
_OPTION = "--pdeathsig"  # since util-linux 2.33
_TIMEOUT = 10

_UNLESS_ORPHANED = ("sh", "-c", '[ "$PPID" = "$0" ] && exec "$@"')


def binding() -> list[str]:
    """Return the begin of a command that is never to run beyond the life of this process."""
    return [_SETPRIV, _OPTION, "KILL", "--", *_UNLESS_ORPHANED, str(os.getpid())]


def bound(command: Sequence[str]) -> list[str]:
    """Return a command whose program is killed when the thread that starts it ends.

    A program that is not there is left to the caller, whose error names it.
    """
    if not _is_supported() or shutil.which(command[0]) is None:
        return list(command)
    return [*binding(), *command]


@functools.cache
def _is_supported() -> bool:
    try:
        shown = subprocess.run(
            [_SETPRIV, "--help"], capture_output=True, text=True, check=False, timeout=_TIMEOUT
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return _OPTION in shown.stdout
