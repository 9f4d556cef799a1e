# SPDX-License-Identifier: Apache-2.0
"""Where our defaults are others than Cinder's, Cinder's hold in Cinder's own files.

An option that such a file omits has Cinder's default: its locks and backups have to be found
where they are.
"""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterable

from oslo_config import cfg

SERVICE: dict[str, str] = {
    "state_path": "/var/lib/cinder",
    "backup_driver": "cinder.backup.drivers.swift.SwiftBackupDriver",
    "image_service": "glance",
}
"""Options of [DEFAULT]; the last is ours, for a behaviour that Cinder always has."""

DATABASE = "sqlite:///$state_path/cinder.sqlite"

DRIVER = "cinder.volume.drivers.lvm.LVMVolumeDriver"
"""The driver of a backend that names none."""

_NAMES = "cinder*.conf"


def are_cinders(files: Iterable[str]) -> bool:
    """Return whether one of the files is called cinder.conf, or the like."""
    return any(fnmatch.fnmatch(os.path.basename(file), _NAMES) for file in files)


def apply(conf: cfg.ConfigOpts, files: Iterable[str]) -> None:
    """Give registered options the defaults that hold in these files."""
    wanted = are_cinders(files)
    for name, default in SERVICE.items():
        if wanted:
            conf.set_default(name, default)
        else:
            conf.clear_default(name)
    if wanted:
        conf.set_default("connection", DATABASE, group="database")
