# SPDX-License-Identifier: Apache-2.0
"""Where drivers of Cinder's work without special hardware: a share, Ceph, a volume group.

All need root, and are gone at the end.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conformance.places import require_programs
from tests.servers import PATIENCE, free_port

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
    """A Ceph cluster of one node in user space, with a pool of volumes and one of backups."""
    require_programs("ceph-mon", "ceph-mgr", "ceph-osd", "ceph", "rbd")
    from pifpaf.drivers.ceph import CephDriver

    binding = directory / "binding"
    binding.mkdir()
    for module in (*PYTHON.glob("rados.*.so"), *PYTHON.glob("rbd.*.so")):
        (binding / module.name).symlink_to(module)
    with CephDriver(port=free_port()) as cluster, _keyring():
        conf = cluster.env["CEPH_CONF"]
        for pool in ("volumes", "backups"):
            _run("ceph", "-c", conf, "osd", "pool", "create", pool, "8")
            _run("ceph", "-c", conf, "osd", "pool", "application", "enable", pool, "rbd")
        options = {"rbd_ceph_conf": conf, "rbd_pool": "volumes", "rbd_secret_uuid": "none"}
        environment = {**_as_root(directory), "CEPH_CONF": conf, "BINDING": str(binding)}
        yield Place("cinder.volume.drivers.rbd.RBDDriver", options, environment)


@contextlib.contextmanager
def _keyring() -> Iterator[None]:
    """The file that os-brick reads for the user, whom the cluster does not ask for a key."""
    path = Path("/etc/ceph/ceph.client.admin.keyring")
    if path.exists():
        yield
        return
    path.parent.mkdir(exist_ok=True)
    path.touch()
    try:
        yield
    finally:
        path.unlink()


@contextlib.contextmanager
def lvm(directory: Path, *, thin: bool = False, nvme: bool = False) -> Iterator[Place]:
    """A volume group in a file, whose volumes the kernel's target serves.

    :param thin: of thin volumes in a pool, which the driver makes.
    :param nvme: over NVMe and TCP, not over iSCSI.
    """
    _require_kernel("/sys/class/misc/device-mapper", "dm-mod", "device mapper")
    options = _nvme_target() if nvme else _iscsi_target()
    require_programs("vgcreate", "losetup", "qemu-img")
    if thin:
        require_programs("thin_check")
    group, disk = f"holdfast-{os.getpid()}", directory / "disk"
    with disk.open("wb") as file:
        file.truncate(12 << 30)
    device = _run("losetup", "--find", "--show", str(disk))
    try:
        _run("vgcreate", group, device)
        options |= {
            "volume_group": group,
            "lvm_type": "thin" if thin else "default",
            "lvm_conf_file": "none",
            "volume_clear": "none",
            "target_ip_address": "127.0.0.1",
        }
        # Each target is made by a program that imports Cinder.
        environment = {PATIENCE: os.environ.get(PATIENCE, "10"), **_as_root(directory)}
        yield Place("cinder.volume.drivers.lvm.LVMVolumeDriver", options, environment)
    finally:
        subprocess.run(["vgremove", "--force", "--yes", group], capture_output=True, check=False)
        _run("losetup", "--detach", device)


def _iscsi_target() -> dict[str, str]:
    """Return the options of LIO, which Cinder controls by rtslib-fb."""
    _require_kernel("/sys/kernel/config/target", "iscsi_target_mod", "LIO target")
    _require_kernel("/sys/class/iscsi_transport/tcp", "iscsi_tcp", "iSCSI initiator")
    require_programs("iscsiadm")
    _require_library("rtslib_fb", "rtslib-fb")
    if not Path("/etc/target").is_dir():
        pytest.skip("rtslib-fb wants the directory /etc/target")
    return {
        "target_helper": "lioadm",
        "target_protocol": "iscsi",
        "target_port": str(free_port()),
        "use_chap_auth": "true",
    }


def _nvme_target() -> dict[str, str]:
    """Return the options of the kernel's NVMe target, which Cinder controls by nvmet."""
    _require_kernel("/sys/kernel/config/nvmet", "nvmet", "NVMe target")
    _require_kernel("/sys/module/nvmet_tcp", "nvmet-tcp", "NVMe target over TCP")
    _require_kernel("/sys/module/nvme_tcp", "nvme-tcp", "NVMe initiator over TCP")
    require_programs("nvme")
    _require_library("nvmet", "nvmetcli")
    return {
        "target_helper": "nvmet",
        "target_protocol": "nvmet_tcp",
        "target_port": str(free_port()),
        "nvmet_port_id": str(os.getpid() % 8192 or 1),
    }


def _require_library(module: str, distribution: str) -> None:
    """Skip without a library that Cinder's target needs."""
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{distribution} is not installed, by which Cinder controls the target")


def _require_kernel(path: str, module: str, name: str) -> None:
    """Skip where the kernel has no such part, which no package can give it."""
    if not Path(path).exists() and shutil.which("modprobe"):
        subprocess.run(["modprobe", module], capture_output=True, check=False)
    if not Path(path).exists():
        pytest.skip(f"the kernel has no {name} ({path})")


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


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout.strip()
