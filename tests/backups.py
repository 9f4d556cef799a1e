# SPDX-License-Identifier: Apache-2.0
"""Backups without a database: their rows, and a driver that keeps them in a directory."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from drivers.backup.posix import PosixDriver
from drivers.interface.backup import BackupDriver
from tests.conformance.stores.rows import MIB, VOLUME_ID, Metadata, Rows, scribble

__all__ = [
    "BLOCK",
    "MIB",
    "VOLUME_ID",
    "Metadata",
    "Rows",
    "change_in_places",
    "posix",
    "scribble",
    "settings",
]

BLOCK = 4096


def change_in_places(volume: Path) -> None:
    """Change three bytes in every seventieth block of a volume, for an incremental backup."""
    with open(volume, "r+b") as file:
        for at in range(0, volume.stat().st_size, 70 * BLOCK):
            file.seek(at)
            file.write(os.urandom(3))


def settings(root: Path, kind: type[BackupDriver] = PosixDriver, **changes: Any) -> SimpleNamespace:
    """Return the options of a driver: small objects, everything below one directory."""
    values = {opt.dest: opt.default for opt in kind.OPTS}
    values |= {
        "backup_work_path": str(root / "work"),
        "backup_posix_path": str(root / "store"),
        "backup_file_size": 64 * BLOCK,
        "backup_sha_block_size_bytes": BLOCK,
    }
    return SimpleNamespace(**{**values, **changes})


def posix(root: Path, *, metadata: Any = None, **changes: Any) -> PosixDriver:
    """Return a driver over a directory, set up."""
    driver = PosixDriver(settings(root, **changes), metadata=metadata)
    driver.check_for_setup_error()
    return driver
