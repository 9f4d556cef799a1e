# SPDX-License-Identifier: Apache-2.0
"""Consumers over NBD that may only read and try to write, or whose certificate is revoked."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from drivers.export import qemu
from drivers.export.nbd import NbdExport, Served
from drivers.volume.local import LocalDriver
from drivers.volume.read_only import is_read_only
from tests.conformance.backend import CONNECTOR, Backend
from tests.conformance.devices import NetworkBlockDevice
from tests.conformance.places import require_programs
from tests.hostile.tls.certificates import Certificates
from tests.reading import part

OTHER = {**CONNECTOR, "host": "another-host"}


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A directory whose path is short enough for sockets."""
    require_programs("qemu-nbd", "qemu-io", "qemu-img", "nbdinfo")
    with tempfile.TemporaryDirectory() as directory:
        yield Path(directory)


@pytest.fixture
def backend(scratch: Path) -> Iterator[Backend]:
    made = Backend(LocalDriver, {"local_path": str(scratch / "v"), "local_export": "nbd"})
    yield made
    made.clear()


def connected(backend: Backend, volume: Any, connector: Mapping[str, Any]) -> dict[str, Any]:
    backend.driver.create_export(None, volume, connector)
    return dict(backend.driver.initialize_connection(volume, connector))


def wrote(info: Mapping[str, Any], value: int) -> bool:
    command = ["qemu-io", "-f", "raw", "-c", f"write -P {value} 0 512", info["data"]["uri"]]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return "wrote 512/512" in done.stdout


def test_an_attachment_that_only_reads_cannot_write(backend: Backend) -> None:
    volume = backend.created()
    reader = connected(backend, volume, {**OTHER, "mode": "ro"})
    assert reader["data"]["access_mode"] == "ro"
    assert not wrote(reader, 1)
    exports = backend.driver._export
    assert exports._server(Served(volume.name)) is None  # nothing else may be found and written

    writer = connected(backend, volume, {**CONNECTOR, "mode": "rw"})

    assert wrote(writer, 2)
    assert not wrote(reader, 3)
    path = f"{backend.driver.configuration.local_path}/{volume.name}"
    assert part(path, 4, 0) == b"\2\2\2\2"
    assert NetworkBlockDevice(reader).read(0, 4) == b"\2\2\2\2"
    backend.driver.terminate_connection(volume, CONNECTOR)
    assert not wrote(writer, 4)
    assert not wrote(reader, 5)
    backend.driver.terminate_connection(volume, OTHER)
    backend.driver.delete_volume(volume)


def test_a_read_only_volume_cannot_be_written(backend: Backend) -> None:
    volume = backend.created().replace(admin_metadata={"readonly": "True"})
    info = connected(backend, volume, OTHER)

    assert not wrote(info, 1)
    backend.driver.terminate_connection(volume, None)
    backend.driver.delete_volume(volume)


def test_after_a_restart_a_reader_still_only_reads(backend: Backend) -> None:
    volume = backend.created()
    reader = connected(backend, volume, {**OTHER, "mode": "ro"})
    exports = backend.driver._export
    server = exports._server(Served(volume.name, read_only=True))
    assert server.end()

    backend.driver.ensure_export(None, volume)

    assert NetworkBlockDevice(reader).size() == 1024**3
    assert not wrote(reader, 1)
    assert exports._server(Served(volume.name)) is None
    backend.driver.remove_export(None, volume)
    assert not exports.is_up(volume.name)


@pytest.mark.parametrize(
    ("admin", "connector", "wanted"),
    [
        ({}, {}, False),
        ({}, {"mode": "rw"}, False),
        ({}, {"mode": "ro"}, True),
        ({"readonly": "True"}, {"mode": "rw"}, True),
        ({"readonly": "False"}, {}, False),
        ({"attached_mode": "ro"}, {}, True),
        ({"readonly": "True"}, {"do_local_attach": True}, False),
        ({}, {"do_local_attach": True, "mode": "ro"}, True),
    ],
)
def test_who_may_only_read(admin: Any, connector: Any, wanted: bool) -> None:
    assert is_read_only({"admin_metadata": admin}, connector) is wanted  # type: ignore[arg-type]


def test_a_client_with_a_revoked_certificate_is_not_let_in(scratch: Path) -> None:
    made = Certificates(scratch / "pki")
    tls = scratch / "tls"
    shutil.copytree(made.place, tls)
    for source, name in (
        ("ca", "ca-cert"),
        ("crl", "ca-crl"),
        ("right", "server-cert"),
        ("right-key", "server-key"),
    ):
        shutil.copy(made.place / f"{source}.pem", tls / f"{name}.pem")
    volume = scratch / "volume-1"
    volume.touch()
    os.truncate(volume, 1024**2)
    export = NbdExport(scratch / "exports", "127.0.0.1", range(10809, 10909), str(tls))
    export.check()
    try:
        export.ensure("volume-1", str(volume))
        uri = export.connect("volume-1", "me")["uri"]
        found = {}
        for kind in ("right", "revoked", "expired", "unknown-authority"):
            client = scratch / f"client-{kind}"
            client.mkdir()
            shutil.copy(made.ca, client / "ca-cert.pem")
            shutil.copy(made.certificate(kind), client / "client-cert.pem")
            shutil.copy(made.key(kind), client / "client-key.pem")
            command = ["nbdinfo", "--size", f"{uri}?tls-certificates={client}"]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            found[kind] = done.stdout.strip() == str(1024**2)
    finally:
        export.remove("volume-1")

    assert found == {"right": True, "revoked": False, "expired": False, "unknown-authority": False}
    assert qemu.find(scratch / "exports" / "volume-1.pid") is None
