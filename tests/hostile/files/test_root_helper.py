# SPDX-License-Identifier: Apache-2.0
"""Paths that a driver, another service or a link would have the root helper give away."""

from __future__ import annotations

import builtins
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from flows.errors import AttachFailed
from worker.adapters import block_device, host_attach, privileged_open
from worker.adapters.host_attach import HostAttacher

US = 4711
OPEN = builtins.open


class Host:
    """A host on which this service may open nothing, and whose root helper notes its calls."""

    def __init__(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.devices, self.elsewhere = place / "dev", place / "etc"
        self._noted, helper = place / "noted", place / "helper"
        for directory in (self.devices, self.elsewhere):
            directory.mkdir()
        self._noted.touch()
        helper.write_text(f'#!/bin/sh\necho "$@" >> {self._noted}\n')
        helper.chmod(0o700)
        self.attacher = HostAttacher(str(helper), address="192.0.2.1")
        self.blocks: set[int] = set()
        monkeypatch.setattr(block_device, "DEVICES", str(self.devices))
        monkeypatch.setattr(block_device, "_is_block", lambda found: found.st_ino in self.blocks)
        monkeypatch.setattr(privileged_open, "open", self._open, raising=False)
        monkeypatch.setattr(os, "geteuid", lambda: US)

    def device(self, name: str) -> Path:
        """Make a file that counts as a block device."""
        path = self.devices / name
        path.write_bytes(b"data")
        self.blocks.add(path.stat().st_ino)
        return path

    @property
    def asked(self) -> list[str]:
        """The calls of the root helper."""
        return self._noted.read_text().splitlines()

    def read(self, path: Path, kind: str = "local") -> bytes:
        """Open a path as a volume."""
        info = {"driver_volume_type": kind, "data": {"device_path": str(path)}}
        with self.attacher.opened(info, write=False, secure=False) as file:
            return file.read()

    def _open(self, path: Any, *args: Any, **more: Any) -> Any:
        if f"chown --no-dereference {US} {path}" not in self.asked[-1:]:
            raise PermissionError(13, "Permission denied")
        return OPEN(path, *args, **more)


class Brick:
    """os-brick, whose connectors answer with a path."""

    class InitiatorConnector:
        """Makes connectors."""

        @staticmethod
        def factory(*_args: Any, **_more: Any) -> Any:
            """Return one."""
            return Brick()

    def connect_volume(self, data: dict[str, Any]) -> dict[str, Any]:
        """Return the path."""
        return {"path": data["device_path"]}

    def disconnect_volume(self, *_args: Any, **_more: Any) -> None:
        """Do nothing."""


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    monkeypatch.setattr(host_attach, "_brick", Brick)
    return Host(tmp_path, monkeypatch)


@pytest.mark.parametrize("kind", ["local", "iscsi"])
def test_a_file_of_the_host_keeps_its_owner(host: Host, kind: str) -> None:
    shadow = host.elsewhere / "shadow"
    shadow.write_bytes(b"root:")
    host.blocks.add(shadow.stat().st_ino)

    with pytest.raises(AttachFailed, match="for attached devices only: .*shadow is not in "):
        host.read(shadow, kind)

    assert host.asked == []


@pytest.mark.parametrize("kind", ["local", "iscsi"])
def test_a_link_out_of_the_devices_is_not_followed(host: Host, kind: str) -> None:
    shadow = host.elsewhere / "shadow"
    shadow.write_bytes(b"root:")
    link = host.devices / "disk"
    link.symlink_to(shadow)

    with pytest.raises(AttachFailed, match="for attached devices only"):
        host.read(link, kind)
    with pytest.raises(AttachFailed, match="for attached devices only"):
        host.read(host.devices / ".." / "etc" / "shadow", kind)

    assert host.asked == []


def test_a_file_among_the_devices_keeps_its_owner(host: Host) -> None:
    (host.devices / "plain").write_bytes(b"")

    with pytest.raises(AttachFailed, match="plain is no block device"):
        host.read(host.devices / "plain", "iscsi")

    assert host.asked == []


def test_a_device_is_given_away_by_its_own_path(host: Host) -> None:
    device = host.device("sdb")
    (host.elsewhere / "by-path").symlink_to(device)

    assert host.read(host.elsewhere / "by-path", "iscsi") == b"data"
    owner = device.stat().st_uid
    assert host.asked == [f"chown --no-dereference {user} {device}" for user in (US, owner)]


def test_a_device_that_becomes_another_one_is_not_read(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = host.device("sdb")
    found = block_device.BlockDevice(str(device), (99, 99), 0)
    monkeypatch.setattr(block_device, "find", lambda path: found)

    with pytest.raises(AttachFailed, match="is another device now"):
        host.read(device, "iscsi")

    assert host.asked[-1] == f"chown --no-dereference 0 {device}"


@pytest.mark.parametrize("part", [False, True])
@pytest.mark.parametrize("use", ["mounted", "holder"])
def test_a_device_that_the_host_uses_is_not_lent(
    host: Host, monkeypatch: pytest.MonkeyPatch, use: str, part: bool
) -> None:
    device = host.device("sda")
    number = device.stat()
    whole = f"{os.major(number.st_rdev)}:{os.minor(number.st_rdev)}"
    place = host.elsewhere / "sys" / whole
    used = place / "sda1" if part else place
    (used / "holders").mkdir(parents=True)
    if part:
        (used / "partition").write_text("1\n")
        (used / "dev").write_text("8:1\n")
    mounts = host.elsewhere / "mounts"
    mounts.write_text("22 1 0:21 / /proc rw - proc proc rw\n")
    if use == "mounted":
        mounts.write_text(f"22 1 {'8:1' if part else whole} / / rw - ext4 /dev/sda1 rw\n")
    else:
        (used / "holders" / "dm-0").touch()
    monkeypatch.setattr(block_device, "_SYS", host.elsewhere / "sys")
    monkeypatch.setattr(block_device, "_MOUNTS", mounts)

    with pytest.raises(AttachFailed, match="this host uses .*/sda: "):
        host.read(device)

    assert host.asked == []
    assert host.read(device, "iscsi") == b"data"


def test_only_block_devices_are_found_on_this_host() -> None:
    for path in ("/dev/null", "/dev/shm", "/etc/passwd", "/dev/../etc/passwd"):
        with pytest.raises(block_device.NotABlockDevice):
            block_device.find(path)
    for entry in Path("/dev").iterdir():
        if stat.S_ISBLK(entry.lstat().st_mode):
            assert block_device.find(str(entry)).path == str(entry)
            break
