# SPDX-License-Identifier: Apache-2.0
"""Host of a volume or group that a host of a cluster creates.

The scheduler writes the host of any service of the cluster, and any of them takes the cast: the one
that does writes its own. Later operations leave the host as it is. Source: spec/service §3.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flows.protocols.backends import ServedBackend


def columns(backend: ServedBackend, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns by which a row names the host that creates it; empty if it does.

    :param row: of the volume or group, on this backend; its pool stays.
    """
    if backend.cluster is None or not row["host"]:
        return {}
    _, sign, pool = str(row["host"]).partition("#")
    names = {"host": backend.host, "cluster_name": backend.cluster}
    wanted = {column: f"{name}{sign}{pool}" for column, name in names.items()}
    return {column: value for column, value in wanted.items() if row.get(column) != value}
