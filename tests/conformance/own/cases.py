# SPDX-License-Identifier: Apache-2.0
"""The drivers of this repository, each in every place and with every export."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.conformance.backend import Case
from tests.conformance.interruption.modes import Mode
from tests.length import FULL

SHARED = {"local_path_shared": "true"}
"""Tests connect under the names of other hosts."""

NBD = {"local_export": "nbd"}
NBD_PROGRAMS = ("qemu-nbd", "qemu-img", "qemu-io", "nbdinfo")

ALL = tuple(Mode)
SOME: tuple[str, ...] = ALL if FULL else (Mode.PLAIN,)
"""Each mode is another run of every test; a plain run takes them on one file system."""

POINTS = 12 if FULL else 0
FEW_POINTS = 12 if FULL else 2

KEPT = (".holdfast*", ".exports", ".exports/*")
"""The marker of the worker, and the locks of exports, which stay for good."""


def file_of(options: Mapping[str, str], size: int) -> dict[str, str]:
    """Make a file that the local driver has not made."""
    path = Path(options["local_path"]) / f"foreign-{size}"
    with path.open("wb") as file:
        file.write(b"kept")
        file.truncate(size)
    return {"source-name": path.name}


def _local(name: str, place: str, *, modes: tuple[str, ...] = SOME, points: int = POINTS) -> Case:
    return Case(
        name,
        "local",
        SHARED,
        place=place,
        modes=modes,
        has_one_mode=not FULL,
        points=points,
        ignored=KEPT,
        foreign=file_of,
    )


def _nbd(name: str, **more: str) -> Case:
    return Case(
        name,
        "local",
        {**NBD, **more},
        place="plain",
        programs=NBD_PROGRAMS,
        modes=SOME,
        points=POINTS,
        ignored=KEPT,
        foreign=file_of,
    )


CASES = (
    Case("noop", "noop", modes=SOME, points=POINTS),
    _local("local", "plain", modes=ALL, points=FEW_POINTS),
    _local("local-ext4", "ext4"),
    _local("local-xfs", "xfs"),
    _nbd("local-nbd"),
    _nbd("local-nbd-tcp", local_nbd_address="127.0.0.1"),
)
