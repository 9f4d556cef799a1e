# SPDX-License-Identifier: Apache-2.0
"""Open devices that belong to root in a service that does not run as root.

The root helper changes the owner of the device to the service's user while the service
opens it, and back. An open file needs no further permission, so that a later kill leaves
no changed owner.
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

_TIMEOUT = 60.0
"""Seconds for the helper; a helper that asks for a password would never end."""


class PrivilegedOpenFailed(OSError):
    """The root helper did not change the owner of a file."""


class PrivilegedOpener:
    """Open files of other users for this process.

    :param helper: the command that runs another command as root.
    """

    def __init__(self, helper: str) -> None:
        self._helper = helper
        self._guard = threading.Lock()

    def open(self, path: str, mode: str, *, ours: bool) -> IO[bytes]:
        """Open a file, unbuffered.

        :param ours: whether the file belongs to the service's user already; its owner is then
            never changed.
        :raises OSError: the file cannot be opened.
        """
        try:
            return open(path, mode, buffering=0)
        except PermissionError:
            if ours or os.stat(path).st_uid == os.geteuid():
                raise
        with self._owned(path):
            return open(path, mode, buffering=0)

    @contextmanager
    def _owned(self, path: str) -> Iterator[None]:
        with self._guard:
            owner = os.stat(path).st_uid
            self._chown(path, os.geteuid())
            try:
                yield
            finally:
                try:
                    self._chown(path, owner)
                except PrivilegedOpenFailed as error:
                    LOG.warning(
                        "%s still belongs to user %d: %s", path, os.geteuid(), error.strerror
                    )

    def _chown(self, path: str, user: int) -> None:
        command = [*self._helper.split(), "chown", str(user), path]
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=_TIMEOUT,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise PrivilegedOpenFailed(0, f"{' '.join(command)}: {error}") from error
        if done.returncode:
            reason = done.stderr.strip() or f"exit status {done.returncode}"
            raise PrivilegedOpenFailed(0, f"{' '.join(command)}: {reason}")
