# SPDX-License-Identifier: Apache-2.0
"""A device of root's, for a service that is not root: lent while it is opened."""

from __future__ import annotations

import builtins
import os
from pathlib import Path
from typing import Any

import pytest

from flows.errors import AttachFailed
from worker.adapters import block_device
from worker.adapters.host_attach import HostAttacher

US = 4711


class Device:
    """A file that only its owner may open, and a helper that gives it away.

    The helper notes its arguments; the last one that had it is the owner.
    """

    def __init__(self, place: Path) -> None:
        self.path = place / "device"
        self.path.write_bytes(b"data")
        self.helper, self._noted = place / "helper", place / "noted"
        self._noted.touch()
        self.answer('echo "$@" >> "$NOTED"')

    def answer(self, script: str) -> None:
        """Have the helper do something else."""
        self.helper.write_text(f"#!/bin/sh\nNOTED={self._noted}\n{script}\n")
        self.helper.chmod(0o700)

    @property
    def asked(self) -> list[str]:
        """The commands of the helper."""
        return self._noted.read_text().splitlines()

    def open(self, file: Any, *args: Any, **options: Any) -> Any:
        """Open as an ordinary user does."""
        mine = f"chown --no-dereference {US} {self.path}"
        if file == str(self.path) and self.asked[-1:] != [mine]:
            raise PermissionError(13, "Permission denied")
        return _open(file, *args, **options)

    @property
    def info(self) -> dict[str, Any]:
        """How it is attached."""
        return {"driver_volume_type": "local", "data": {"device_path": str(self.path)}}


_open = builtins.open


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Device:
    made = Device(tmp_path)
    monkeypatch.setattr("worker.adapters.privileged_open.open", made.open, raising=False)
    monkeypatch.setattr(os, "geteuid", lambda: US)
    monkeypatch.setattr(block_device, "DEVICES", str(tmp_path))
    monkeypatch.setattr(block_device, "_is_block", lambda status: True)
    return made


@pytest.mark.parametrize("write", [False, True])
def test_it_is_given_back_when_it_is_open(device: Device, write: bool) -> None:
    attacher = HostAttacher(f"{device.helper} --quietly", address="x")
    device.answer('shift; echo "$@" >> "$NOTED"')
    owner = device.path.stat().st_uid
    with attacher.opened(device.info, write=write, secure=False) as file:
        assert device.asked == [
            f"chown --no-dereference {user} {device.path}" for user in (US, owner)
        ]
        assert file.read() == b"data"


def test_what_is_the_services_own_is_not_lent(device: Device) -> None:
    attacher = HostAttacher(str(device.helper), address="x")
    refused = pytest.raises(AttachFailed, match=f"by user {US}: Permission denied")
    with refused, attacher.opened(device.info, write=False, secure=True):
        raise AssertionError

    assert device.asked == []


def test_what_can_be_opened_is_not_lent(device: Device, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"open")
    info = {"driver_volume_type": "local", "data": {"device_path": str(other)}}
    attacher = HostAttacher(str(device.helper), address="x")
    with attacher.opened(info, write=False, secure=False) as file:
        assert (file.read(), device.asked) == (b"open", [])


def test_a_helper_that_refuses_is_told(device: Device) -> None:
    device.answer("echo no rule for that >&2; exit 1")
    attacher = HostAttacher(str(device.helper), address="x")
    refused = pytest.raises(AttachFailed, match=f"chown --no-dereference {US} .*: no rule for that")
    with refused, attacher.opened(device.info, write=False, secure=False):
        raise AssertionError


def test_no_helper_is_told(device: Device) -> None:
    attacher = HostAttacher("/no/such/helper", address="x")
    refused = pytest.raises(AttachFailed, match="No such file.*helper")
    with refused, attacher.opened(device.info, write=False, secure=False):
        raise AssertionError
