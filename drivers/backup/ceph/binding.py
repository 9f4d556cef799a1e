# SPDX-License-Identifier: Apache-2.0
"""Ceph's bindings for Python, which no package index has, and their errors as ours."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from drivers.interface.errors import BackupDriverException

MISSING = (
    "Ceph's bindings for Python cannot be imported ({reason}): install the packages "
    "python3-rados and python3-rbd of the distribution, and let the virtual environment see them "
    "(python3 -m venv --system-site-packages, for the Python of the distribution)"
)


class CephBinding(NamedTuple):
    """The two modules."""

    rados: Any
    rbd: Any


def missing() -> str:
    """Return which packages are to be installed; empty where the bindings are there."""
    names = [one for one in ("rados", "rbd") if importlib.util.find_spec(one) is None]
    return MISSING.format(reason=f"no module {' and '.join(names)}") if names else ""


def load() -> CephBinding:
    """Import the bindings. :raises BackupDriverException: names the packages to install."""
    try:
        return CephBinding(importlib.import_module("rados"), importlib.import_module("rbd"))
    except ImportError as error:
        raise BackupDriverException(MISSING.format(reason=error)) from error


@contextmanager
def explained(binding: CephBinding, label: str) -> Iterator[None]:
    """Raise errors of the bindings as those of a backup driver.

    :param label: the work that failed.
    """
    known = (binding.rados.Error, binding.rbd.Error)
    try:
        yield
    except BackupDriverException:
        raise
    except known as error:
        text = f"{label}: {type(error).__name__}: {error}"
        raise BackupDriverException(text) from error


def absent(binding: CephBinding) -> contextlib.suppress:
    """Return a context in which the absence of an image, a snapshot or an object is no error."""
    return contextlib.suppress(binding.rbd.ImageNotFound, binding.rados.ObjectNotFound)
