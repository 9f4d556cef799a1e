# SPDX-License-Identifier: Apache-2.0
"""The socket on which systemd receives notifications of a service (sd_notify(3))."""

from __future__ import annotations

import logging
import socket

LOG = logging.getLogger(__name__)

VARIABLE = "NOTIFY_SOCKET"
"""The environment variable with its address."""


def send(address: str, state: str) -> None:
    """Send a notification; without an address systemd expects none."""
    if not address:
        return
    path = "\0" + address[1:] if address[0] == "@" else address
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
            out.sendto(state.encode(), path)
    except OSError as error:
        LOG.debug("systemd did not get %s: %s", state, error)
