# SPDX-License-Identifier: Apache-2.0
"""How full a directory of sparse files is, in the words of a capacity report."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from oslo_utils import units

_BLOCK = 512
"""Bytes of the unit of st_blocks."""


def report(space: tuple[int, int, int], entries: Mapping[str, os.stat_result]) -> dict[str, Any]:
    """Return total, free and promised GiB, how many volumes there are, and that they are thin.

    Promised are the full lengths of all files, and the space that others take of
    the file system. Shared data counts once for each file that may come to have its
    own: so much space they can need.

    :param space: bytes of the file system: all, in use, free.
    :param entries: volumes, and snapshots, which have an ``@`` in the name.
    """
    total, used, free = space
    promised = sum(entry.st_size for entry in entries.values())
    taken = sum(entry.st_blocks for entry in entries.values()) * _BLOCK
    return {
        "total_capacity_gb": _gib(total),
        "free_capacity_gb": _gib(free),
        "provisioned_capacity_gb": _gib(promised + max(0, used - taken)),
        "total_volumes": sum("@" not in name for name in entries),
        "thin_provisioning_support": True,
        "thick_provisioning_support": False,
        "sparse_copy_volume": True,
        "new_volumes_are_zero": True,
    }


def _gib(size: int) -> float:
    """Round down: missing space must not be promised."""
    return size * 100 // units.Gi / 100
