# SPDX-License-Identifier: Apache-2.0
"""Open what belongs to root: a device that was attached for a service that is not.

The root helper gives it to the service's user for the moment in which it is opened, and
back: who has a file open needs no more right to it, so a kill later leaves nothing.
"""

from __future__ import annotations

import logging
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

LOG = logging.getLogger(__name__)

_PATIENCE = 60.0
"""Seconds for the helper; one that asks for a password would take for ever."""


class PrivilegedOpenFailed(OSError):
    """The root helper did not give a file to somebody."""


class PrivilegedOpener:
    """Opens files for this process.

    :param helper: the command that runs another one as root.
    """

    def __init__(self, helper: str) -> None:
        self._helper = helper
        self._guard = threading.Lock()

    def open(self, path: str, mode: str, *, ours: bool) -> IO[bytes]:
        """Open a file, unbuffered.

        :param ours: whether it is as its owner wants it, and is not given to anybody.
        :raises OSError: it cannot be opened.
        """
        try:
            return open(path, mode, buffering=0)
        except PermissionError:
            if ours or os.stat(path).st_uid == os.geteuid():
                raise
        with self._lent(path):
            return open(path, mode, buffering=0)

    @contextmanager
    def _lent(self, path: str) -> Iterator[None]:
        with self._guard:
            owner = os.stat(path).st_uid
            self._give(path, os.geteuid())
            try:
                yield
            finally:
                try:
                    self._give(path, owner)
                except PrivilegedOpenFailed as error:
                    LOG.warning("%s stays with user %d: %s", path, os.geteuid(), error.strerror)

    def _give(self, path: str, user: int) -> None:
        command = [*self._helper.split(), "chown", str(user), path]
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=_PATIENCE,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise PrivilegedOpenFailed(0, f"{' '.join(command)}: {error}") from error
        if done.returncode:
            said = done.stderr.strip() or f"exit status {done.returncode}"
            raise PrivilegedOpenFailed(0, f"{' '.join(command)}: {said}")
