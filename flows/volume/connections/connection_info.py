# SPDX-License-Identifier: Apache-2.0
"""Fields that the worker adds to the driver's connection info.

Source: spec/volume-rpc, initialize_connection.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from drivers.interface.records import Record
from flows.context import ConnectionContext
from flows.driver_calls import connectors

LOG = logging.getLogger(__name__)

_FRONT_END = ("front-end", "both")
_BLOCK_KEYS = ("physical_block_size", "logical_block_size")
_BLOCK_SIZES = {"512": ("512", "512"), "512e": ("4096", "512"), "4k": ("4096", "4096")}
"""Physical and logical sizes of each ``disk_geometry``."""

_SCALED = tuple(
    f"{what}_{unit}_sec" for what in ("read", "write", "total") for unit in ("iops", "bytes")
)
"""Limits that a type may give for each GiB, as ``x_per_gb``."""


def complete(
    ctx: ConnectionContext, volume: Record, connector: Mapping[str, Any], data: Mapping[str, Any]
) -> dict[str, Any]:
    """Return ``data`` with quality of service, access mode and the like."""
    full = dict(data)
    full["qos_specs"] = _qos(ctx, volume)
    # A driver may give less than the volume allows: to an attachment that only reads.
    full["access_mode"] = "ro" if full.get("access_mode") == "ro" else access_mode(volume)
    if full.get("encrypted") is None:
        full["encrypted"] = bool(volume.encryption_key_id)
    full["enforce_multipath"] = connectors.enforce_multipath(connector)
    _cacheable(volume, full)
    if full.get("discard") is None and ctx.options.report_discard_supported:
        full["discard"] = True
    if not any(key in full for key in _BLOCK_KEYS):
        full |= _block_sizes(ctx.options.disk_geometry)
    return full


def access_mode(volume: Record) -> str:
    """Return ``rw`` or ``ro``: as attached before, else by the read-only flag."""
    admin = volume.admin_metadata
    if attached := admin.get("attached_mode"):
        return str(attached)
    return "ro" if admin.get("readonly") == "True" else "rw"


def _cacheable(volume: Record, data: dict[str, Any]) -> None:
    """Let a host cache the volume where its type allows it and the driver does not forbid it."""
    kind = volume.volume_type
    if not kind:
        return
    allowed = kind.extra_specs.get("cacheable") == "<is> True"
    said = data.get("cacheable")
    data["cacheable"] = allowed and (said is None or bool(said))


def _block_sizes(geometry: str | None) -> dict[str, str]:
    """Return the sizes of blocks as texts, which Nova wants."""
    if geometry not in _BLOCK_SIZES:
        return {}
    return dict(zip(_BLOCK_KEYS, _BLOCK_SIZES[geometry], strict=True))


def _qos(ctx: ConnectionContext, volume: Record) -> dict[str, Any] | None:
    found = ctx.volumes.qos(volume.volume_type_id)
    if not found or found["consumer"] not in _FRONT_END:
        return None
    return _scaled(found["specs"], volume.size)


def _scaled(specs: Mapping[str, Any], size: int) -> dict[str, Any]:
    """Multiply each ``x_per_gb`` by the size, within ``x_per_gb_min`` and ``x_max``."""
    scaled = dict(specs)
    for plain in _SCALED:
        if (name := f"{plain}_per_gb") not in specs:
            continue
        each, low, high = (scaled.pop(n, None) for n in (name, f"{name}_min", f"{plain}_max"))
        try:
            amount = max(int(each) * size, int(low or 0))
            scaled[plain] = amount if high is None else min(amount, int(high))
        except (TypeError, ValueError):
            LOG.warning("the quality of service %s=%s is no whole number: left out", name, each)
    return scaled
