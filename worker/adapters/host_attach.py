# SPDX-License-Identifier: Apache-2.0
"""Attach volumes to this host and open them: implements :class:`flows.protocols.backends.Attacher`.

Local paths are opened directly. os-brick attaches all other volumes, and is imported
only for them.
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

from oslo_concurrency import lockutils
from oslo_config import cfg
from oslo_utils import netutils

from flows.errors import AttachFailed, DetachFailed
from worker.adapters.privileged_open import PrivilegedOpener

LOG = logging.getLogger(__name__)

_FREE = ("option", "password", "username", "secret", "key")
"""Parts of the names of values that may begin with ``-``: mount options, and secrets."""

LOCAL = "local"
"""``driver_volume_type`` of volumes that have a path on this host without being attached."""

_ADVICE = "pip install os-brick, and allow it to become root (rootwrap or privsep)"


class HostAttacher:
    """Attach and open volumes on this host.

    :param root_helper: the command with which os-brick, and the opening of devices, run
        other commands as root.
    :param multipath: whether to use several paths to each volume.
    :param address: the address of this host, for drivers that grant access by address.
    """

    def __init__(self, root_helper: str, *, multipath: bool = False, address: str = "") -> None:
        self._root_helper = root_helper
        self._lender = PrivilegedOpener(root_helper)
        self._multipath = multipath
        self._address = address or netutils.get_my_ipv4()
        self._guard = threading.Lock()
        self._known: Mapping[str, Any] | None = None

    @classmethod
    def from_conf(cls, conf: cfg.ConfigOpts) -> HostAttacher:
        """Read the options of attachments, and give os-brick a directory for its lock files."""
        if not lockutils.get_lock_path(conf):
            conf.set_default("lock_path", conf.state_path, "oslo_concurrency")
        return cls(
            conf.backup_root_helper,
            multipath=conf.use_multipath_for_image_xfer,
            address=conf.my_ip or "",
        )

    def connector(self) -> Mapping[str, Any]:
        """Return the connector properties of this host; they are collected once."""
        with self._guard:
            if self._known is None:
                self._known = self._collect()
            return self._known

    def _collect(self) -> Mapping[str, Any]:
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
            LOG.info("without os-brick and %s, only local volumes can be opened", self._root_helper)
            return known
        try:
            found = brick.get_connector_properties(
                self._root_helper, self._address, self._multipath, enforce_multipath=False
            )
        except Exception as error:  # noqa: BLE001 - local volumes do not need it
            text = (
                "os-brick cannot read the properties of this host, only local volumes can be opened"
            )
            LOG.warning("%s: %s", text, _text(error))
            return known
        return {**known, **found, "do_local_attach": True}

    @contextmanager
    def opened(self, info: Mapping[str, Any], *, write: bool, secure: bool) -> Iterator[BinaryIO]:
        """Attach, open, close, detach."""
        found = self._attach(info)
        try:
            attached = info["driver_volume_type"] != LOCAL
            with self._opened(found, write=write, secure=secure, attached=attached) as file:
                yield file
        except BaseException:
            with contextlib.suppress(DetachFailed):
                self._detach(info, found)
            raise
        self._detach(info, found)

    def detach(self, info: Mapping[str, Any]) -> None:
        """Detach a device that an interrupted attempt may have left attached."""
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
            raise AttachFailed(f"{kind}: {_text(error)}") from error

    def _detach(self, info: Mapping[str, Any], found: Any) -> None:
        kind, data = _parts(info)
        if kind == LOCAL:
            return
        try:
            device = {"path": found} if found is not None else None
            connector = self._connector_of(kind)
            connector.disconnect_volume(data, device, force=True, ignore_errors=True)
        except Exception as error:
            raise DetachFailed(f"{kind}: {_text(error)}") from error

    @contextmanager
    def _opened(
        self, found: Any, *, write: bool, secure: bool, attached: bool
    ) -> Iterator[BinaryIO]:
        """Open a path; directories and file-like objects are returned unchanged."""
        if not isinstance(found, str):
            if not hasattr(found, "read"):
                raise AttachFailed(f"a {type(found).__name__} is neither a path nor a file")
            found.seek(0)
            yield cast(BinaryIO, found)
            return
        if os.path.isdir(found):
            yield cast(BinaryIO, found)
            return
        try:
            mode = "r+b" if write else "rb"
            file = self._lender.open(found, mode, ours=secure, attached=attached)
        except OSError as error:
            user = f"user {os.geteuid()}"
            raise AttachFailed(f"{found} cannot be opened by {user}: {error.strerror}") from error
        with file:
            yield cast(BinaryIO, file)

    def _connector_of(self, kind: str) -> Any:
        brick = _brick()
        if brick is None:
            raise AttachFailed(f"volumes of the kind {kind} are attached by os-brick: {_ADVICE}")
        return brick.InitiatorConnector.factory(
            kind, self._root_helper, use_multipath=self._multipath
        )


def _text(error: Exception) -> str:
    """Return an error of os-brick as text.

    Where os-brick gives the reason as ``msg``, its text is "An unknown exception occurred."
    """
    given = getattr(error, "kwargs", None)
    reason = given.get("msg") if isinstance(given, Mapping) else None
    return f"{type(error).__name__}: {reason or error}"


def _parts(info: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    kind, data = info.get("driver_volume_type"), info.get("data")
    if not isinstance(kind, str) or not isinstance(data, Mapping):
        raise AttachFailed(f"the connection info lacks driver_volume_type or data: {sorted(info)}")
    if name := next(_options(data), None):
        raise AttachFailed(f"{name} of the connection info begins with -, as an option does")
    return kind, data


def _options(data: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names of values that a command which os-brick runs would take for options."""
    for name, value in data.items():
        if isinstance(value, Mapping):
            yield from _options(value)
        elif not any(word in str(name) for word in _FREE):
            values = value if isinstance(value, list | tuple) else (value,)
            if any(isinstance(one, str) and one.startswith("-") for one in values):
                yield str(name)


def _brick() -> Any:
    try:
        # Late: an optional library, which takes memory.
        import os_brick.initiator.connector
    except ImportError:
        return None
    lockutils.get_lock_path(cfg.CONF)  # registers the option that is read next
    os_brick.setup(cfg.CONF)  # gives it the place of its locks; it warns at each call without
    return os_brick.initiator.connector
