# SPDX-License-Identifier: Apache-2.0
"""Address of the listener for monitors: the path of a Unix socket, or host and port."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

SERVICE = "{service}"

_LONGEST = 107
"""Bytes of the path of a Unix socket (unix(7))."""


@dataclass(frozen=True)
class Address:
    """An address of the listener.

    :param bind: the path of a socket, or host and port.
    """

    bind: str | tuple[str, int]

    def __str__(self) -> str:
        if isinstance(self.bind, str):
            return self.bind
        host, port = self.bind
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    @property
    def is_local(self) -> bool:
        """Whether only this host reaches it."""
        if isinstance(self.bind, str):
            return True
        host = self.bind[0]
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"


def address_of(text: str, service: str) -> Address:
    """Return an address from its text.

    :param service: replaces ``{service}`` in the path of a socket.
    :raises ValueError: it is none; with the reason.
    """
    if text.startswith("/"):
        path = text.replace(SERVICE, service)
        if len(path.encode()) > _LONGEST:
            raise ValueError(f"{path} is longer than the {_LONGEST} bytes of a socket's path")
        return Address(path)
    host, _colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"{text} is neither an absolute path nor ADDRESS:PORT")
    return Address((host, int(port)))
