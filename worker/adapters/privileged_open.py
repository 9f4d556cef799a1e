# SPDX-License-Identifier: Apache-2.0
"""Open devices that belong to root in a service that does not run as root.

The root helper changes the owner of the device to the service's user while the service
opens it, and back. An open file needs no further permission, so that a later kill leaves
no changed owner.

Root's rights are not for any path that a driver or another service names: only a block device
below ``/dev`` changes its owner, by its path without links.
"""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from worker.adapters import block_device
from worker.adapters.block_device import BlockDevice, NotABlockDevice

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

    def open(self, path: str, mode: str, *, ours: bool, attached: bool) -> IO[bytes]:
        """Open a file, unbuffered.

        :param ours: whether the file belongs to the service's user already; its owner is then
            never changed.
        :param attached: whether this service has just attached it as a device. Another device
            changes its owner only if the host does not use it itself.
        :raises OSError: the file cannot be opened.
        """
        try:
            return open(path, mode, buffering=0)
        except PermissionError:
            if ours or os.stat(path).st_uid == os.geteuid():
                raise
        device = _lendable(path, attached)
        with self._owned(device):
            return _open_device(device, mode)

    @contextmanager
    def _owned(self, device: BlockDevice) -> Iterator[None]:
        with self._guard:
            self._chown(device.path, os.geteuid())
            try:
                yield
            finally:
                try:
                    self._chown(device.path, device.owner)
                except PrivilegedOpenFailed as error:
                    LOG.warning(
                        "%s still belongs to user %d: %s",
                        device.path,
                        os.geteuid(),
                        error.strerror,
                    )

    def _chown(self, path: str, user: int) -> None:
        command = [*self._helper.split(), "chown", "--no-dereference", str(user), path]
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


def _lendable(path: str, attached: bool) -> BlockDevice:
    """Return a device whose owner may be changed. :raises PrivilegedOpenFailed: there is none."""
    try:
        device = block_device.find(path)
    except NotABlockDevice as error:
        text = f"Permission denied, and the root helper is for attached devices only: {error}"
        raise PrivilegedOpenFailed(0, text) from error
    if not attached and (use := block_device.use_by_host(device)):
        raise PrivilegedOpenFailed(0, f"this host uses {device.path}: {use}")
    return device


def _open_device(device: BlockDevice, mode: str) -> IO[bytes]:
    """Open a device, if its path still leads to it."""
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(open(device.path, mode, buffering=0, opener=_without_links))
        if not device.is_open_as(file.fileno()):
            raise PrivilegedOpenFailed(0, f"{device.path} is another device now")
        stack.pop_all()
        return file


def _without_links(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW)
