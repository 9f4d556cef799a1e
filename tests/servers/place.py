# SPDX-License-Identifier: Apache-2.0
"""The address and the network namespace in which a program runs."""

from __future__ import annotations

import ctypes
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

NAMESPACES = Path("/run/netns")
"""Where ``ip netns`` keeps its namespaces."""

_CLONE_NEWNET = 0x40000000


@dataclass(frozen=True)
class Place:
    """Where a program runs.

    :param address: its IPv4 address.
    :param namespace: its network namespace, None for that of the test run.
    """

    address: str = "127.0.0.1"
    namespace: str | None = None

    def listens(self, port: int) -> bool:
        """Return whether a port of the address accepts connections."""
        with socket.socket() as client:
            client.settimeout(1)
            return client.connect_ex((self.address, port)) == 0


LOOPBACK = Place()
"""The place of a server that only programs of this machine use."""


def within(namespace: str | None, argv: Sequence[str]) -> list[str]:
    """Return the command that runs another one in a network namespace."""
    if namespace is None:
        return list(argv)
    return ["ip", "netns", "exec", namespace, *argv]


def enter(namespace: str) -> None:
    """Move this process, which has one thread, into a network namespace.

    :raises OSError: there is none of this name, or the process is not root.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = os.open(NAMESPACES / namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.setns(descriptor, _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"network namespace {namespace}")
    finally:
        os.close(descriptor)
