# SPDX-License-Identifier: Apache-2.0
"""Volumes on this host: local paths, os-brick's devices, and failures to open."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from oslo_concurrency import lockutils
from oslo_config import cfg

from flows.errors import AttachFailed, DetachFailed
from worker import conf as options
from worker.adapters import host_attach
from worker.adapters.host_attach import HostAttacher


@pytest.fixture
def attacher() -> HostAttacher:
    return HostAttacher("no-such-helper", address="192.0.2.7")


class TestLockFiles:
    """os-brick locks by files, and refuses every connection without a directory for them."""

    @pytest.mark.parametrize("chosen", [None, "/run/locks"])
    def test_they_have_a_directory(self, chosen: str | None) -> None:
        conf = cfg.ConfigOpts()
        options.register_all(conf)
        lockutils.get_lock_path(conf)  # registers the option
        conf([], default_config_files=[])
        conf.set_default("state_path", "/var/lib/x")
        if chosen:
            conf.set_override("lock_path", chosen, "oslo_concurrency")
        HostAttacher.from_conf(conf)

        assert lockutils.get_lock_path(conf) == (chosen or "/var/lib/x")

    def test_os_brick_is_given_the_directory(self) -> None:
        pytest.importorskip("os_brick")
        lockutils.get_lock_path(cfg.CONF)  # registers the option
        cfg.CONF.set_override("lock_path", "/run/locks", "oslo_concurrency")
        try:
            host_attach._brick()
            assert cfg.CONF.os_brick.lock_path == "/run/locks"
        finally:
            cfg.CONF.clear_override("lock_path", "oslo_concurrency")
            cfg.CONF.clear_default("lock_path", "os_brick")


def local(path: object) -> dict[str, Any]:
    return {"driver_volume_type": "local", "data": {"device_path": path}}


class Brick:
    """As much of os-brick's connectors as is used."""

    def __init__(self, path: object, fails: str = "") -> None:
        self.path, self.fails = path, fails
        self.calls: list[tuple[Any, ...]] = []
        self.InitiatorConnector = SimpleNamespace(factory=self._factory)

    def _factory(self, kind: str, helper: str, use_multipath: bool = False) -> Any:
        self.calls.append(("factory", kind, helper, use_multipath))
        return self

    def connect_volume(self, data: Any) -> dict[str, Any]:
        self._call("connect", data)
        return {"path": self.path}

    def disconnect_volume(self, data: Any, device: Any, **flags: Any) -> None:
        self._call("disconnect", device, flags)

    def _call(self, name: str, *more: Any) -> None:
        self.calls.append((name, *more))
        if self.fails == name:
            raise OSError(f"{name} failed")


class TestConnector:
    def test_it_asks_for_a_local_path(self, attacher: HostAttacher) -> None:
        found = attacher.connector()
        assert found["do_local_attach"] is True
        assert (found["ip"], found["multipath"]) == ("192.0.2.7", False)
        assert attacher.connector() is found

    def test_a_host_that_os_brick_cannot_look_at_opens_local_volumes(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fails(*_: Any, **__: Any) -> Any:
            raise OSError("no privilege")

        brick = SimpleNamespace(get_connector_properties=fails)
        monkeypatch.setattr(host_attach, "_brick", lambda: brick)
        assert HostAttacher("sh", address="x").connector()["ip"] == "x"


class TestLocal:
    def test_it_is_read_and_written(self, attacher: HostAttacher, tmp_path: Path) -> None:
        path = tmp_path / "volume"
        path.write_bytes(b"0123456789")
        with attacher.opened(local(str(path)), write=True, secure=True) as file:
            file.seek(5)
            file.write(b"x")
        with attacher.opened(local(str(path)), write=False, secure=True) as file:
            assert file.read(100) == b"01234x6789"
            with pytest.raises(OSError, match="not writable|File not open"):
                file.write(b"y")

    def test_what_is_not_there_is_told(self, attacher: HostAttacher, tmp_path: Path) -> None:
        info = local(str(tmp_path / "nothing"))
        with (
            pytest.raises(AttachFailed, match="No such file"),
            attacher.opened(info, write=False, secure=True),
        ):
            raise AssertionError

    @pytest.mark.parametrize(
        "info", [{}, {"driver_volume_type": "local"}, local(None), {"data": {}}, local(7)]
    )
    def test_what_is_no_connection_is_told(self, attacher: HostAttacher, info: Any) -> None:
        with pytest.raises(AttachFailed), attacher.opened(info, write=False, secure=True):
            raise AssertionError

    def test_a_directory_is_handed_through(self, attacher: HostAttacher, tmp_path: Path) -> None:
        with attacher.opened(local(str(tmp_path)), write=False, secure=True) as found:
            assert found == str(tmp_path)


class TestBrick:
    INFO = {"driver_volume_type": "iscsi", "data": {"target": "t"}}

    def test_without_it_the_advice_is_to_install_it(
        self, attacher: HostAttacher, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(host_attach, "_brick", lambda: None)
        with (
            pytest.raises(AttachFailed, match="pip install os-brick"),
            attacher.opened(self.INFO, write=False, secure=False),
        ):
            raise AssertionError

    def test_it_attaches_and_detaches(
        self, attacher: HostAttacher, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        brick = Brick(io.BytesIO(b"data"))
        monkeypatch.setattr(host_attach, "_brick", lambda: brick)
        with attacher.opened(self.INFO, write=False, secure=False) as file:
            assert file.read() == b"data"
        assert [call[0] for call in brick.calls] == ["factory", "connect", "factory", "disconnect"]

    def test_it_detaches_after_a_copy_that_failed(
        self, attacher: HostAttacher, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        brick = Brick(io.BytesIO(b""), fails="disconnect")
        monkeypatch.setattr(host_attach, "_brick", lambda: brick)
        with (
            pytest.raises(ValueError, match="the copy"),
            attacher.opened(self.INFO, write=False, secure=False),
        ):
            raise ValueError("the copy")
        assert brick.calls[-1][0] == "disconnect"

    @pytest.mark.parametrize(
        ("fails", "error"), [("connect", AttachFailed), ("disconnect", DetachFailed)]
    )
    def test_its_failures_are_told(
        self,
        attacher: HostAttacher,
        monkeypatch: pytest.MonkeyPatch,
        fails: str,
        error: type[Exception],
    ) -> None:
        monkeypatch.setattr(host_attach, "_brick", lambda: Brick(io.BytesIO(b""), fails))
        with (
            pytest.raises(error, match=f"iscsi: OSError: {fails} failed"),
            attacher.opened(self.INFO, write=False, secure=False),
        ):
            pass

    def test_a_reason_that_its_text_lacks_is_told(
        self, attacher: HostAttacher, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        exception = pytest.importorskip("os_brick.exception")
        reason = "Keyring path /etc/ceph/ceph.client.u.keyring is not readable."

        def connect(_data: Any) -> Any:
            raise exception.BrickException(msg=reason)

        brick = Brick(None)
        monkeypatch.setattr(brick, "connect_volume", connect)
        monkeypatch.setattr(host_attach, "_brick", lambda: brick)
        with (
            pytest.raises(AttachFailed, match=f"iscsi: BrickException: {reason}"),
            attacher.opened(self.INFO, write=False, secure=False),
        ):
            raise AssertionError

    def test_what_a_kill_left_is_let_go(
        self, attacher: HostAttacher, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        brick = Brick(None)
        monkeypatch.setattr(host_attach, "_brick", lambda: brick)
        attacher.detach(self.INFO)
        assert brick.calls[-1] == ("disconnect", None, {"force": True, "ignore_errors": True})
        attacher.detach(local("/dev/null"))
