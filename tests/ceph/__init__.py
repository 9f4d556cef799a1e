# SPDX-License-Identifier: Apache-2.0
"""A stand-in for Ceph: the parts of its bindings that the drivers use, over a directory.

A cluster is a directory, ``ceph.conf`` in it names it, and pools are directories below it, so that
several processes see the same, also after one of them was killed. ``modules`` are the two modules
of the binding; :func:`cluster` makes a cluster.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from drivers.backup.ceph.binding import CephBinding
from tests.ceph import images, objects

MODULES = CephBinding(objects.module(), images.module())


def cluster(directory: Path, *pools: str) -> Path:
    """Make a cluster with pools, unless it is there; return its ceph.conf."""
    for name in pools:
        (directory / name / "objects").mkdir(parents=True, exist_ok=True)
        (directory / name / "images").mkdir(parents=True, exist_ok=True)
    conf = directory / "ceph.conf"
    conf.write_text("[global]\nfsid = 3d5ac9a4-0d1a-4d5c-9d3e-0f4cf7f04b11\n")
    return conf


@contextmanager
def in_memory() -> Iterator[Path]:
    """Give a directory for a cluster: many small files come and go."""
    memory = "/dev/shm"  # noqa: S108 - the directory in it has a name of its own
    with tempfile.TemporaryDirectory(dir=memory if os.path.isdir(memory) else None) as path:
        yield Path(path)


class Handle:
    """A file object as os-brick gives it for an image: only the parts that the service uses."""

    def __init__(self, conf: Path, pool: str, name: str) -> None:
        self.rbd_user, self.rbd_pool, self.rbd_conf = "cinder", pool, str(conf)
        client = MODULES.rados.Rados(rados_id="cinder", conffile=str(conf))
        client.connect()
        self.rbd_image = MODULES.rbd.Image(client.open_ioctx(pool), name)
        self.name = name

    def __enter__(self) -> Handle:
        return self

    def __exit__(self, *_: object) -> None:
        self.rbd_image.close()

    def flush(self) -> None:
        """Everything is on the disk."""
        self.rbd_image.flush()


def make_image(conf: Path, pool: str, name: str, size: int) -> None:
    """Make an empty image."""
    client = MODULES.rados.Rados(rados_id="cinder", conffile=str(conf))
    client.connect()
    MODULES.rbd.RBD().create(client.open_ioctx(pool), name, size)


__all__ = ["MODULES", "Handle", "cluster", "in_memory", "make_image"]
