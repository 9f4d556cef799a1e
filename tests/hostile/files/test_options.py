# SPDX-License-Identifier: Apache-2.0
"""Values of drivers and rows are no options of the commands that they become arguments of."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from drivers.export import nbd, qemu
from drivers.image import qemu_img
from drivers.interface.errors import VolumeBackendAPIException, VolumeDriverException
from drivers.interface.pace import Pace
from flows.errors import AttachFailed
from worker.adapters import host_attach
from worker.adapters.host_attach import HostAttacher


class Brick:
    """A connector of os-brick that notes what it is asked to attach."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.InitiatorConnector = SimpleNamespace(factory=lambda *_, **__: self)

    def connect_volume(self, data: Any) -> dict[str, Any]:
        self.asked.append(data)
        return {"path": "/no-such-file"}

    def disconnect_volume(self, data: Any, *_: Any, **__: Any) -> None:
        self.asked.append(data)


@pytest.fixture
def brick(monkeypatch: pytest.MonkeyPatch) -> Brick:
    made = Brick()
    monkeypatch.setattr(host_attach, "_brick", lambda: made)
    return made


@pytest.mark.parametrize(
    "data",
    [
        {"export": "-oexec=/tmp/x", "name": "volume-1"},
        {"target_iqn": "--interface=x"},
        {"target_portals": ["192.0.2.1:3260", "-p"]},
        {"encryption": {"cipher": "--key-file=/etc/shadow"}},
        {"device_path": "-rf"},
    ],
    ids=str,
)
def test_connection_info_with_options_is_not_attached(brick: Brick, data: dict[str, Any]) -> None:
    attacher, info = HostAttacher("sudo"), {"driver_volume_type": "nfs", "data": data}
    with (
        pytest.raises(AttachFailed, match="as an option does"),
        attacher.opened(info, write=False, secure=False),
    ):
        raise AssertionError("it was attached")
    with pytest.raises(AttachFailed, match="as an option does"):
        attacher.detach(info)

    assert brick.asked == []


def test_mount_options_and_secrets_are_passed(brick: Brick) -> None:
    data = {"export": "h:/x", "options": "-o vers=4", "auth_password": "-secret", "target_lun": -1}
    HostAttacher("sudo").detach({"driver_volume_type": "nfs", "data": data})

    assert brick.asked == [data]


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that would be run."""
    made: list[list[str]] = []

    def run(command: list[str], **_: Any) -> Any:
        made.append(command)
        raise OSError("not here")

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(subprocess, "Popen", run)
    return made


@pytest.mark.parametrize("name", ["-v", "--object=x", "a,b", "a=b", "volume 1"])
def test_a_name_is_no_option_of_qemu_nbd(
    tmp_path: Path, commands: list[list[str]], name: str
) -> None:
    with pytest.raises(VolumeBackendAPIException, match="not here"):
        nbd.NbdExport(tmp_path).ensure(name, name)

    [command] = commands
    own = qemu.arguments(name, tmp_path / f"{name}.pid", "")
    assert command == ["qemu-nbd", *own, f"--socket={tmp_path / name}.sock", "--", name]
    assert f"--export-name={name}" in command


@pytest.mark.parametrize("name", ["../x", "a/b", ".hidden", "/etc/passwd"])
def test_a_path_is_no_name_of_an_export(
    tmp_path: Path, commands: list[list[str]], name: str
) -> None:
    with pytest.raises(VolumeDriverException, match="no plain file name"):
        nbd.NbdExport(tmp_path).ensure(name, "/volumes/x")

    assert commands == []


@pytest.mark.parametrize("name", ["-v", "json:{}", "nbd:x", "a,b"])
def test_a_file_is_no_option_or_protocol_of_qemu_img(
    tmp_path: Path, commands: list[list[str]], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(qemu_img.shutil, "which", lambda _name: "/usr/bin/qemu-img")
    with pytest.raises(Exception, match="not here"):
        qemu_img.convert(
            Path(name), "qcow2", Path(name), "raw", qemu_img.ConversionLimits(), Pace()
        )

    [command] = commands
    assert command[-2:] == [f"file:{tmp_path / name}"] * 2
