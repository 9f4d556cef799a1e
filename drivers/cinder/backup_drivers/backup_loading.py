# SPDX-License-Identifier: Apache-2.0
"""Load a backup driver of an installed Cinder.

This imports nothing of Cinder until it is asked for a driver.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING

from drivers.cinder import loading
from drivers.cinder.loading import Unsuitable

if TYPE_CHECKING:
    from drivers.interface.backup import BackupDriver

_BASE = "cinder.backup.driver"


def is_cinders(found: object) -> bool:
    """Return whether a class is a backup driver of Cinder's kind; nothing is imported for it."""
    base = sys.modules.get(_BASE)
    return base is not None and isinstance(found, type) and issubclass(found, base.BackupDriver)


def load(path: str) -> type[BackupDriver]:
    """Return a driver of ours that passes its calls on to one of Cinder's.

    Cinder's options must have been read: modules of drivers look at them while they are imported.

    :param path: of Cinder's class, as ``cinder.backup.drivers.gcs.GoogleBackupDriver``.
    :raises Unsuitable: Cinder is not installed, or the class is something else.
    :raises BaseException: of the import, which runs the module of the driver.
    """
    loading.prepare()
    module, _, name = path.rpartition(".")
    with loading.native_threads():
        importlib.import_module(_BASE)
        found = getattr(importlib.import_module(module), name)
    if not is_cinders(found):
        raise Unsuitable(f"{path} is no backup driver ({_BASE}.BackupDriver)")
    return adapted(found)


def adapted(found: object) -> type[BackupDriver]:
    """Return a driver of ours around a class of Cinder's that is loaded."""
    # Only a driver of Cinder's needs it, and Cinder then is installed.
    adapter = importlib.import_module("drivers.cinder.backup_drivers.backup_adapter")
    made: type[BackupDriver] = adapter.adapted(found)
    return made
