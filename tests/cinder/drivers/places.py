# SPDX-License-Identifier: Apache-2.0
"""Where drivers of Cinder's work without special hardware: a share, and a Ceph cluster.

Both need root, and are gone at the end.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.conformance.places import require_programs
from tests.servers import free_port

SHARE = "127.0.0.1:/share"
PYTHON = Path("/usr/lib/python3/dist-packages")
"""Where Debian installs Ceph's binding, which is in no package index."""


@dataclass(frozen=True)
class Place:
    """A backend.

    :param driver: path of Cinder's class.
    :param options: of its section.
    :param environment: variables that its service needs.
    """

    driver: str
    options: Mapping[str, str]
    environment: Mapping[str, str]


@contextlib.contextmanager
def share(directory: Path) -> Iterator[Place]:
    """A share that is mounted already, so that the driver mounts nothing.

    The share's content does not matter to the driver, which reads the list of mounts;
    a file system in memory has the name of a share there.
    """
    require_programs("mount", "mount.nfs", "qemu-img", "qemu-io")
    base, shares = directory / "mnt", directory / "shares"
    shares.write_text(f"{SHARE}\n")
    target = base / hashlib.md5(SHARE.encode(), usedforsecurity=False).hexdigest()
    target.mkdir(parents=True)
    _run("mount", "-t", "tmpfs", "-o", "size=4g", SHARE, str(target))
    options = {
        "nfs_shares_config": str(shares),
        "nfs_mount_point_base": str(base),
        "nfs_snapshot_support": "true",
        "nas_secure_file_operations": "false",
        "nas_secure_file_permissions": "false",
    }
    try:
        yield Place("cinder.volume.drivers.nfs.NfsDriver", options, _as_root(directory))
    finally:
        _run("umount", "--lazy", str(target))


@contextlib.contextmanager
def ceph(directory: Path) -> Iterator[Place]:
    """A Ceph cluster of one node in user space, with a pool."""
    require_programs("ceph-mon", "ceph-mgr", "ceph-osd", "ceph", "rbd")
    from pifpaf.drivers.ceph import CephDriver

    binding = directory / "binding"
    binding.mkdir()
    for module in (*PYTHON.glob("rados.*.so"), *PYTHON.glob("rbd.*.so")):
        (binding / module.name).symlink_to(module)
    with CephDriver(port=free_port()) as cluster:
        conf = cluster.env["CEPH_CONF"]
        for command in (
            ["ceph", "-c", conf, "osd", "pool", "create", "volumes", "8"],
            ["ceph", "-c", conf, "osd", "pool", "application", "enable", "volumes", "rbd"],
        ):
            _run(*command)
        options = {"rbd_ceph_conf": conf, "rbd_pool": "volumes", "rbd_secret_uuid": "none"}
        environment = {**_as_root(directory), "CEPH_CONF": conf, "BINDING": str(binding)}
        yield Place("cinder.volume.drivers.rbd.RBDDriver", options, environment)


def _as_root(directory: Path) -> dict[str, str]:
    """Return the variables with which Cinder's commands find the ways to become root.

    The tests are root: there is nothing to become, and nothing to filter.
    """
    programs = directory / "bin"
    programs.mkdir()
    for name, text in (("sudo", 'exec "$@"'), ("cinder-rootwrap", 'shift; exec "$@"')):
        program = programs / name
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    python = Path(sys.executable).parent
    return {"PATH": os.pathsep.join((str(programs), str(python), os.environ["PATH"]))}


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
