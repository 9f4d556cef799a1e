# SPDX-License-Identifier: Apache-2.0
"""The dispatchers of both services, without a service behind the methods that start no flow."""

from __future__ import annotations

from typing import Any

from worker.endpoints import backup as backup_endpoint
from worker.endpoints import volume as volume_endpoint
from worker.rpc.dispatch import Dispatcher
from worker.service import backup, volume

_NOTHING: Any = None


def volume_dispatcher(host: str = "h1@b1", *, image_cache: bool = False) -> Dispatcher:
    """Return the methods of the volume service of a backend."""
    endpoints = volume.endpoints(
        host,
        capabilities=_NOTHING,
        reports=_NOTHING,
        queries=_NOTHING,
        manageable=_NOTHING,
        objects=_NOTHING,
        targets=_NOTHING,
        follower=_NOTHING,
        image_cache=image_cache,
    )
    return Dispatcher(endpoints, volume_endpoint.RPC_VERSION)


def backup_dispatcher(driver: Any = None, reports: Any = None) -> Dispatcher:
    """Return the methods of the backup service."""
    return Dispatcher(backup.endpoints(driver, reports), backup_endpoint.RPC_VERSION)
