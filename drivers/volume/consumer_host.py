# SPDX-License-Identifier: Apache-2.0
"""Decide whether a consumer of a volume is on this host, where a path means the same file."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any

_SEPARATOR = "@"
"""Between the host and the backend in the host of a volume service."""


def is_here(connector: Mapping[str, Any], service_host: str) -> bool:
    """Return whether a connector is that of this host, under its own name or that of the service.

    :param service_host: of the backend, as ``node@backend``.
    """
    here = [socket.gethostname(), service_host.partition(_SEPARATOR)[0]]
    return bool(connector.get("host")) and connector["host"] in here


def foreign(connector: Mapping[str, Any]) -> str:
    """Return why a consumer on another host gets no path."""
    text = "is not this one, and the path of a file would be that of another file there"
    advice = "set local_export = nbd, or local_path_shared where it sees the same directory"
    return f"the connector's host {connector.get('host')!r:.80} {text}: {advice}"
