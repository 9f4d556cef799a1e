# SPDX-License-Identifier: Apache-2.0
"""Decide whether a consumer of a volume may only read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drivers.interface.records import Record

_READ = "ro"


def is_read_only(volume: Record, connector: Mapping[str, Any]) -> bool:
    """Return whether an attachment only reads: by its mode, or since its volume is read-only.

    The worker on another host, which restores a backup to a read-only volume, says that it
    attaches the volume to itself.
    """
    if connector.get("mode") == _READ:
        return True
    if connector.get("do_local_attach"):
        return False
    admin = volume.get("admin_metadata") or {}
    return admin.get("attached_mode") == _READ or admin.get("readonly") == "True"
