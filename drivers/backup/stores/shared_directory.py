# SPDX-License-Identifier: Apache-2.0
"""Name of a directory on a network file system that is the same on all hosts which mount it."""

from __future__ import annotations

import os
import re
from pathlib import Path

_MOUNTS = Path("/proc/self/mountinfo")

_NETWORK = frozenset(
    {
        *("nfs", "nfs4", "ceph", "cifs", "smb3", "lustre", "beegfs", "gpfs", "glusterfs"),
        *("fuse.ceph", "fuse.ceph-fuse", "fuse.glusterfs", "fuse.sshfs", "fuse.juicefs"),
    }
)
"""File systems whose source names a server or a cluster, the same for each host."""

_ESCAPE = re.compile(r"\\([0-7]{3})")


def shared_name(directory: Path, mounts: Path = _MOUNTS) -> str | None:
    """Return the source of a directory's mount with the path in it.

    :returns: None where the directory is on a file system of this host.
    """
    path = os.path.realpath(directory)
    longest, found = "", None
    for line in mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        fields, _, rest = line.partition(" - ")
        root, point = (_plain(field) for field in fields.split()[3:5])
        kind, source = rest.split()[:2]
        inside = point == "/" or path == point or path.startswith(f"{point}/")
        if inside and len(point) >= len(longest):  # a later mount covers an earlier one
            within = os.path.relpath(path, point)
            name = os.path.normpath(f"{root}/{within}").strip("/")
            longest, found = point, f"{_plain(source)}/{name}" if kind in _NETWORK else None
    return found


def _plain(field: str) -> str:
    return _ESCAPE.sub(lambda match: chr(int(match[1], 8)), field)
