# SPDX-License-Identifier: Apache-2.0
"""Private parts of Cinder and oslo.versionedobjects, for drivers of Cinder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def context_of(versioned: Any) -> Any:
    """Return the request context with which a versioned object was made."""
    return versioned._context


def field_of(attribute: str) -> str:
    """Return the field whose value an attribute of a versioned object keeps, or an empty string."""
    return attribute.removeprefix("_obj_") if attribute.startswith("_obj_") else ""


@contextmanager
def rados_pool(driver: Any) -> Iterator[Any]:
    """Connect the RBD driver to Ceph and give the I/O context of its pool."""
    client, pool = driver._connect_to_rados()
    try:
        yield pool
    finally:
        driver._disconnect_from_rados(client, pool)
