# SPDX-License-Identifier: Apache-2.0
"""Hosts without a cluster whose processes adopt each other's operations all the same."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

from worker.service import backup, volume

VARIABLE = "HOLDFAST_POOL"
"""Environment variable with the name of the hosts' pool."""


def install() -> None:
    """Have the services of this process join the pool, where one is named."""
    name = os.environ.get(VARIABLE)
    if not name:
        return
    for module in (volume, backup):
        module._identity = _joining(module._identity, f"{name} {module.__name__}")  # type: ignore[attr-defined]


def _joining(make: Any, pool: str) -> Any:
    def identity(*args: Any) -> Any:
        return dataclasses.replace(make(*args), shared_pool=pool)

    return identity
