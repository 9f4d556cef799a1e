# SPDX-License-Identifier: Apache-2.0
"""Volumes that are no regular files: RBD handles of os-brick, and block devices."""

from __future__ import annotations

import io
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.places import missing, require_programs


class Handle(io.BytesIO):
    """A file by its methods only, whose ``write`` returns nothing.

    ``written`` holds the length of each write; ``flushes`` counts the flushes.
    """

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.written: list[int] = []
        self.flushes = 0

    def fileno(self) -> int:
        raise OSError("an RBD image has no descriptor")

    def write(self, data: Any) -> None:  # type: ignore[override]
        self.written.append(super().write(data))

    def flush(self) -> None:
        self.flushes += 1


@contextmanager
def loop_device(backing: Path) -> Iterator[Path]:
    """Make a block device of a file; skip where that needs root."""
    if os.geteuid() != 0:
        pytest.skip("only root can set up a loop device")
    require_programs("losetup")
    command = ["losetup", "--find", "--show", str(backing)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        missing(f"losetup failed: {done.stderr.strip()}")
    device = Path(done.stdout.strip())
    try:
        yield device
    finally:
        subprocess.run(["losetup", "--detach", str(device)], check=True)
