# SPDX-License-Identifier: Apache-2.0
"""The limits under which qemu-img converts."""

from __future__ import annotations

from pathlib import Path

import pytest

from drivers.image import qemu_img
from drivers.interface.pace import Pace

LIMITS = qemu_img.ConversionLimits(cpu=60, address_space=1)


def test_threads_share_their_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An arena of its own for each thread takes 64 MiB of the address space that is limited."""
    program, seen = tmp_path / "qemu-img", tmp_path / "seen"
    program.write_text(f'#!/bin/sh\necho "$MALLOC_ARENA_MAX" > {seen}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    (tmp_path / "source").touch()

    files = tmp_path / "source", tmp_path / "target"
    qemu_img.convert(files[0], "qcow2", files[1], "raw", LIMITS, Pace())

    assert seen.read_text() == "1\n"
