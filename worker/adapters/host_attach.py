# SPDX-License-Identifier: Apache-2.0
"""Bring a volume to this host, and open it: implements :class:`flows.context.Attacher`.

What a driver gives as a local path is opened as it is. Everything else is attached by
os-brick, which is only needed then.
"""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import shutil
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

from flows.errors import AttachFailed, DetachFailed
from worker.adapters.privileged_open import PrivilegedOpener

LOG = logging.getLogger(__name__)

LOCAL = "local"
"""``driver_volume_type`` of what has a path on this host already."""

_ADVICE = "pip install os-brick, and see that it may become root (rootwrap or privsep)"


class HostAttacher:
    """This host.

    :param root_helper: what os-brick runs its commands through, and what lends us devices.
    :param multipath: whether to use several paths to a volume.
    :param address: of this host, for drivers that give access by it.
    """

    def __init__(self, root_helper: str, *, multipath: bool = False, address: str = "") -> None:
        self._root_helper = root_helper
        self._lender = PrivilegedOpener(root_helper)
        self._multipath = multipath
        self._address = address or _own_address()
        self._guard = threading.Lock()
        self._known: Mapping[str, Any] | None = None

    def connector(self) -> Mapping[str, Any]:
        """Return what a driver needs to know of this host; found out once."""
        with self._guard:
            if self._known is None:
                self._known = self._find_out()
            return self._known

    def _find_out(self) -> Mapping[str, Any]:
        known = {
            "host": socket.gethostname(),
            "ip": self._address,
            "multipath": self._multipath,
            "platform": platform.machine(),
            "os_type": "linux",
            "do_local_attach": True,
        }
        brick = _brick() if shutil.which(self._root_helper.split()[0]) else None
        if brick is None:
            LOG.info("without os-brick and %s only local volumes can be opened", self._root_helper)
            return known
        try:
            found = brick.get_connector_properties(
                self._root_helper, self._address, self._multipath, enforce_multipath=False
            )
        except Exception as error:  # noqa: BLE001 - local volumes do not need it
            text = "os-brick cannot look at this host, only local volumes can be opened"
            LOG.warning("%s: %s: %s", text, type(error).__name__, error)
            return known
        return {**known, **found, "do_local_attach": True}

    @contextmanager
    def opened(self, info: Mapping[str, Any], *, write: bool, secure: bool) -> Iterator[BinaryIO]:
        """Attach, open, close, detach."""
        found = self._attach(info)
        try:
            with self._opened(found, write=write, secure=secure) as file:
                yield file
        except BaseException:
            with contextlib.suppress(DetachFailed):
                self._detach(info, found)
            raise
        self._detach(info, found)

    def let_go(self, info: Mapping[str, Any]) -> None:
        """Detach what a try that was cut short may have left."""
        self._detach(info, None)

    def _attach(self, info: Mapping[str, Any]) -> Any:
        kind, data = _parts(info)
        if kind == LOCAL:
            return data.get("device_path")
        try:
            return self._connector_of(kind).connect_volume(data)["path"]
        except AttachFailed:
            raise
        except Exception as error:
            raise AttachFailed(f"{kind}: {type(error).__name__}: {error}") from error

    def _detach(self, info: Mapping[str, Any], found: Any) -> None:
        kind, data = _parts(info)
        if kind == LOCAL:
            return
        try:
            device = {"path": found} if found is not None else None
            connector = self._connector_of(kind)
            connector.disconnect_volume(data, device, force=True, ignore_errors=True)
        except Exception as error:
            raise DetachFailed(f"{kind}: {type(error).__name__}: {error}") from error

    @contextmanager
    def _opened(self, found: Any, *, write: bool, secure: bool) -> Iterator[BinaryIO]:
        """Open a path; a directory, or what is a file by its methods, is handed through."""
        if not isinstance(found, str):
            if not hasattr(found, "read"):
                raise AttachFailed(f"there is nothing to open: {type(found).__name__}")
            found.seek(0)
            yield cast(BinaryIO, found)
            return
        if os.path.isdir(found):
            yield cast(BinaryIO, found)
            return
        try:
            file = self._lender.open(found, "r+b" if write else "rb", ours=secure)
        except OSError as error:
            who = f"user {os.geteuid()}"
            raise AttachFailed(f"{found} cannot be opened by {who}: {error.strerror}") from error
        with file:
            yield cast(BinaryIO, file)

    def _connector_of(self, kind: str) -> Any:
        brick = _brick()
        if brick is None:
            raise AttachFailed(f"volumes of the kind {kind} are attached by os-brick: {_ADVICE}")
        return brick.InitiatorConnector.factory(
            kind, self._root_helper, use_multipath=self._multipath
        )


def _parts(info: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    kind, data = info.get("driver_volume_type"), info.get("data")
    if not isinstance(kind, str) or not isinstance(data, Mapping):
        raise AttachFailed(f"the connection info tells no kind and no data: {sorted(info)}")
    return kind, data


def _brick() -> Any:
    try:
        from os_brick.initiator import connector
    except ImportError:
        return None
    return connector


def _own_address() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # nothing is sent: the route tells the address
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"
