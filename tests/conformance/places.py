# SPDX-License-Identifier: Apache-2.0
"""File systems on which the local driver is tested, and their requirements."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

IMAGE_SIZE = 512 * 1024 * 1024
"""Bytes of a file system in a file; XFS wants at least 300 MiB."""


def missing(reason: str) -> None:
    """Skip at home; fail where CI is set, which has everything."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def require_programs(*names: str) -> None:
    """Skip, or fail, where a program is not installed."""
    if absent := [name for name in names if shutil.which(name) is None]:
        missing(f"not installed: {', '.join(absent)} (see bindep.txt)")


@contextmanager
def loop_mount(make: list[str], scratch: Path) -> Iterator[Path]:
    """Make a file system in a file, mount it, and unmount it at the end.

    :param make: the command that makes it, without the file.
    """
    if os.geteuid() != 0:
        pytest.skip(f"only root can mount a file with {make[0]}")
    require_programs(make[0], "mount")
    image, target = scratch / "image", scratch / "mount"
    with image.open("wb") as file:
        file.truncate(IMAGE_SIZE)
    target.mkdir()
    for command in ([*make, str(image)], ["mount", "-o", "loop", str(image), str(target)]):
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        if done.returncode:
            missing(f"{command[0]} failed: {done.stderr.strip()}")
    mount = Mount(target, image)
    try:
        yield target
    finally:
        mount.close()


class Mount:
    """A mounted file system, which does not outlive this process.

    :param files: are removed together with it.
    """

    def __init__(self, target: Path, *files: Path) -> None:
        self._target = target
        # Lazily: a driver that a failed test still refers to holds its directory open.
        script = 'read -r _; umount --lazy "$1" && shift && rm -f "$@"'
        self._watcher = subprocess.Popen(
            ["/bin/sh", "-c", script, "unmount", *map(str, (target, *files))],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    def close(self) -> None:
        """Unmount it."""
        self._watcher.communicate(b"\n", timeout=120)
        if self._watcher.returncode:
            raise RuntimeError(f"{self._target} was not unmounted")


@contextmanager
def plain(scratch: Path) -> Iterator[Path]:
    """Whatever file system temporary files are on."""
    yield scratch


@contextmanager
def ext4(scratch: Path) -> Iterator[Path]:
    """A file system that copies."""
    with loop_mount(["mkfs.ext4", "-q"], scratch) as target:
        yield target


@contextmanager
def xfs(scratch: Path) -> Iterator[Path]:
    """A file system that shares data between files."""
    with loop_mount(["mkfs.xfs", "-q", "-m", "reflink=1"], scratch) as target:
        yield target


PLACES: Mapping[str, Callable[[Path], AbstractContextManager[Path]]] = {
    "plain": plain,
    "ext4": ext4,
    "xfs": xfs,
}
