# SPDX-License-Identifier: Apache-2.0
"""Network block devices: one server each, found again, ended for good."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import uuid
from pathlib import Path

import pytest

from drivers.export import nbd, qemu
from drivers.export.nbd import NbdExport, Served
from drivers.interface.errors import (
    TargetUpdateFailed,
    VolumeBackendAPIException,
    VolumeDriverException,
)
from drivers.volume.local import LocalDriver
from tests.conformance.backend import CONNECTOR, Backend
from tests.conformance.devices import NetworkBlockDevice
from tests.conformance.places import require_programs
from tests.reading import part

MIB = 1024**2
NAME = "volume-1"


@pytest.fixture
def scratch():
    """A directory whose path is short enough for sockets."""
    require_programs("qemu-nbd", "qemu-io", "qemu-img", "nbdinfo")
    with tempfile.TemporaryDirectory() as directory:
        yield Path(directory)


@pytest.fixture
def volume(scratch):
    path = scratch / NAME
    with path.open("wb") as file:
        file.truncate(4 * MIB)
    return str(path)


@pytest.fixture(params=["socket", "port"])
def export(request, scratch):
    address = "127.0.0.1" if request.param == "port" else ""
    made = NbdExport(scratch / "exports", address, range(10809, 10909))
    made.check()
    yield made
    made.remove(NAME)


def again(export):
    """Another instance for the same exports, as after a restart."""
    return NbdExport(export._directory, export._address, export._ports, export._tls)


def pid_of(export):
    return qemu.find(export._file(Served(NAME), "pid")).pid


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def device(export):
    return NetworkBlockDevice({"data": export.connect(NAME, "me")})


def left(export):
    """Files of the exports, without the locks, of which there is a fixed number."""
    return [name for name in os.listdir(export._directory) if not name.startswith("lock.")]


@contextlib.contextmanager
def client(export):
    """A client that stays connected."""
    command = ["qemu-io", "-f", "raw", export.connect(NAME, "me")["uri"]]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    try:
        process.stdin.write("write -P 1 0 512\n")
        process.stdin.flush()
        while "wrote" not in process.stdout.readline():
            assert process.poll() is None
        yield process
    finally:
        process.kill()
        process.communicate()


class TestServing:
    def test_an_independent_client_reads_and_writes(self, export, volume):
        export.ensure(NAME, volume)
        device(export).write(MIB, b"through the export")

        assert part(volume, 18, MIB) == b"through the export"
        assert device(export).read(MIB, 18) == b"through the export"
        assert device(export).size() == 4 * MIB

    def test_a_header_in_the_data_is_data(self, export, volume, scratch):
        require_programs("qemu-img")
        overlay, secret = scratch / "overlay", scratch / "secret"
        secret.write_bytes(b"secret" * 1000)
        command = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(secret), "-F", "raw"]
        subprocess.run([*command, str(overlay), "1M"], check=True)
        shutil.copy(overlay, volume)

        export.ensure(NAME, volume)

        assert device(export).read(0, 4) == b"QFI\xfb"

    def test_a_second_call_keeps_the_server(self, export, volume):
        export.ensure(NAME, volume)
        pid = pid_of(export)

        export.ensure(NAME, volume)
        again(export).ensure(NAME, volume)

        assert pid_of(export) == pid

    def test_a_killed_server_comes_back_where_it_was(self, export, volume):
        export.ensure(NAME, volume)
        before, pid = export.connect(NAME, "me"), pid_of(export)
        qemu.QemuNbdServer(pid).end()
        assert not export.is_up(NAME)

        again(export).ensure(NAME, volume)

        assert export.connect(NAME, "me") == before
        assert pid_of(export) != pid
        assert device(export).size() == 4 * MIB

    def test_missing_file_leaves_nothing(self, export, scratch):
        with pytest.raises(VolumeBackendAPIException, match="qemu-nbd does not serve volume-1"):
            export.ensure(NAME, str(scratch / "absent"))

        assert left(export) == []

    def test_a_server_is_found_by_another_path_of_its_directory(self, export, volume, scratch):
        export.ensure(NAME, volume)
        pid = pid_of(export)
        (scratch / "link").symlink_to(export._directory)

        moved = NbdExport(scratch / "link", export._address, export._ports)
        moved.ensure(NAME, volume)

        assert pid_of(moved) == pid

    def test_state_torn_by_a_crash_is_begun_anew(self, export, volume):
        export._file(Served(NAME), "json").write_text('{"port": 1')

        export.ensure(NAME, volume)

        assert device(export).size() == 4 * MIB


class TestEnding:
    def test_no_process_and_no_file_is_left(self, export, volume):
        export.ensure(NAME, volume)
        export.connect(NAME, "me")
        pid = pid_of(export)

        export.remove(NAME)
        export.remove(NAME)

        assert not is_running(pid)
        assert left(export) == []

    def test_server_whose_starter_was_killed_is_found_and_ended(self, export, volume):
        export.ensure(NAME, volume)
        pid = pid_of(export)
        export._file(Served(NAME), "json").unlink()

        again(export).remove(NAME)

        assert not is_running(pid)

    def test_server_that_ignores_the_request_is_killed(self, export, volume, monkeypatch):
        monkeypatch.setattr(qemu, "_STOP", 0.2)
        export.ensure(NAME, volume)
        pid = pid_of(export)
        os.kill(pid, signal.SIGSTOP)

        export.remove(NAME)

        assert not is_running(pid)

    def test_another_process_with_that_pid_is_left_alone(self, export, volume):
        export._file(Served(NAME), "pid").write_text(f"{os.getpid()}\n")

        assert not export.is_up(NAME)
        export.remove(NAME)

    def test_last_one_out_ends_the_server(self, export, volume):
        export.ensure(NAME, volume)
        for who in ("one", "one", "other"):
            export.connect(NAME, who)

        export.disconnect(NAME, "one")
        assert export.is_up(NAME)
        again(export).disconnect(NAME, "other")

        assert not export.is_up(NAME)

    def test_nobody_in_particular_means_all(self, export, volume):
        export.ensure(NAME, volume)
        for who in ("one", "other"):
            export.connect(NAME, who)

        export.disconnect(NAME, None)

        assert not export.is_up(NAME)

    @pytest.mark.parametrize("name", ["../volume", "a/b", ".."])
    def test_name_that_leads_out_is_refused(self, export, name):
        for call in (export.remove, export.is_up):
            with pytest.raises(VolumeDriverException):
                call(name)


class TestGrowing:
    def test_next_client_sees_the_new_size(self, export, volume):
        export.ensure(NAME, volume)
        before = export.connect(NAME, "me")
        os.truncate(volume, 8 * MIB)

        export.grown(NAME, volume)

        assert export.connect(NAME, "me") == before
        assert device(export).size() == 8 * MIB

    def test_client_is_not_cut_off(self, export, volume):
        export.ensure(NAME, volume)
        with client(export):
            os.truncate(volume, 8 * MIB)
            pid = pid_of(export)

            with pytest.raises(TargetUpdateFailed):
                export.grown(NAME, volume)

            assert pid_of(export) == pid

    def test_nothing_that_is_not_served_is_started(self, export, volume):
        export.grown(NAME, volume)

        assert not export.is_up(NAME)


class TestAddresses:
    def test_port_that_is_taken_is_passed_over(self, scratch, volume):
        first = NbdExport(scratch / "a", "127.0.0.1", range(10809, 10811))
        second = NbdExport(scratch / "b", "127.0.0.1", range(10809, 10811))
        for export in (first, second):
            export.check()
        try:
            first.ensure(NAME, volume)
            second.ensure(NAME, volume)

            ports = {export.connect(NAME, "me")["port"] for export in (first, second)}
            assert ports == {10809, 10810}
        finally:
            first.remove(NAME)
            second.remove(NAME)

    def test_old_port_is_tried_first(self, scratch, volume):
        export = NbdExport(scratch / "exports", "127.0.0.1", range(10809, 10909))
        export.check()
        export._file(Served(NAME), "json").write_text('{"port": 10999, "users": ["me"]}')
        try:
            export.ensure(NAME, volume)

            assert export.connect(NAME, "me")["port"] == 10999
        finally:
            export.remove(NAME)

    def test_no_port_left_is_told_and_leaves_nothing(self, scratch, volume):
        first = NbdExport(scratch / "a", "127.0.0.1", range(10809, 10810))
        second = NbdExport(scratch / "b", "127.0.0.1", range(10809, 10810))
        for export in (first, second):
            export.check()
        try:
            first.ensure(NAME, volume)

            with pytest.raises(VolumeBackendAPIException, match="no port of 10809-10809"):
                second.ensure(NAME, volume)

            assert left(second) == []
        finally:
            first.remove(NAME)

    def test_socket_path_that_is_too_long_is_told(self, scratch, volume):
        deep = scratch / ("d" * 100)
        export = NbdExport(deep)
        export.check()

        with pytest.raises(VolumeBackendAPIException, match="longer than 107 bytes"):
            export.ensure(NAME, volume)

    @pytest.mark.parametrize(
        "address",
        [
            *("0.0.0.0", "192.0.2.1", "::", "127.evil.example", "127.0.0.1.evil.example"),
            *("::1.evil.example", "localhost.evil.example", "127.1"),
        ],
    )
    def test_open_address_without_certificates_is_refused(self, scratch, address):
        with pytest.raises(VolumeBackendAPIException, match="local_nbd_tls"):
            NbdExport(scratch / "exports", address, range(10809, 10810)).check()

    @pytest.mark.parametrize("address", ["127.0.0.1", "127.8.9.10", "::1", "localhost"])
    def test_an_address_of_this_host_needs_no_certificates(self, scratch, address):
        NbdExport(scratch / "exports", address, range(10809, 10810)).check()

    def test_missing_program_is_told_with_its_package(self, scratch, monkeypatch):
        monkeypatch.setattr(nbd, "PROGRAM", "qemu-nbd-absent")

        with pytest.raises(VolumeBackendAPIException, match="qemu-utils"):
            NbdExport(scratch / "exports").check()

    def test_only_a_client_with_a_certificate_is_let_in(self, scratch, volume):
        require_programs("openssl", "nbdinfo")
        tls = certificates(scratch / "tls")
        export = NbdExport(scratch / "exports", "127.0.0.1", range(10809, 10909), str(tls))
        export.check()
        try:
            export.ensure(NAME, volume)
            where = export.connect(NAME, "me")
            assert where["uri"].startswith("nbds://127.0.0.1:")

            let_in = f"{where['uri']}?tls-certificates={tls}"
            plain = where["uri"].replace("nbds:", "nbd:")
            found = [
                subprocess.run(["nbdinfo", "--size", uri], capture_output=True, check=False)
                for uri in (let_in, plain)
            ]
            assert found[0].stdout.strip() == str(4 * MIB).encode()
            assert found[1].returncode != 0
        finally:
            export.remove(NAME)


class TestDriver:
    @pytest.fixture
    def backend(self, scratch):
        made = Backend(LocalDriver, {"local_path": str(scratch / "v"), "local_export": "nbd"})
        yield made
        made.clear()

    def test_exported_volume_is_busy(self, backend):
        from drivers.interface.errors import VolumeIsBusy

        volume = backend.created()
        backend.connect(volume)

        with pytest.raises(VolumeIsBusy, match="remove the export first"):
            backend.driver.delete_volume(volume)

    def test_host_with_another_attachment_keeps_its_connection(self, backend):
        volume = backend.created()
        backend.connect(volume)
        attachments = [_Attachment(CONNECTOR["host"]), _Attachment(CONNECTOR["host"])]

        shared = volume.replace(volume_attachment=attachments)
        assert backend.driver.terminate_connection(shared, CONNECTOR) is True
        shared = volume.replace(volume_attachment=attachments[:1])
        assert backend.driver.terminate_connection(shared, CONNECTOR) is False

        backend.driver.delete_volume(volume)

    def test_an_old_detach_ends_no_other_attachment(self, backend):
        volume = backend.created()
        backend.connect(volume)
        old, other = _Attachment("elsewhere"), _Attachment(CONNECTOR["host"])
        both = volume.replace(volume_attachment=[old, other])

        backend.driver.detach_volume(None, both, old)
        backend.driver.remove_export(None, both)

        assert backend.driver._export.is_up(volume.name)

        backend.driver.detach_volume(None, volume.replace(volume_attachment=[other]), other)
        assert not backend.driver._export.is_up(volume.name)

    def test_another_attachment_of_the_host_keeps_its_server(self, backend):
        volume = backend.created()
        backend.connect(volume)
        old, other = _Attachment(CONNECTOR["host"]), _Attachment(CONNECTOR["host"])
        both = volume.replace(volume_attachment=[old, other])

        backend.driver.detach_volume(None, both, old)

        assert backend.driver._export.is_up(volume.name)
        backend.driver.remove_export(None, volume.replace(volume_attachment=[]))

    def test_an_instance_in_the_older_manner_has_no_host_and_keeps_its_server(self, backend):
        volume = backend.created()
        backend.connect(volume)
        old, other = _Attachment("elsewhere"), _Attachment(None)
        both = volume.replace(volume_attachment=[old, other])

        backend.driver.detach_volume(None, both, old)
        backend.driver.remove_export(None, both)

        assert backend.driver._export.is_up(volume.name)
        backend.driver.remove_export(None, volume.replace(volume_attachment=[]))
        assert not backend.driver._export.is_up(volume.name)

    def test_statistics_are_those_of_the_export(self, backend):
        stats = backend.driver.get_volume_stats()

        assert stats["storage_protocol"] == "nbd"
        assert stats["online_extend_support"] is False
        assert stats["multiattach"] is True

    def test_state_is_json_for_people_too(self, backend):
        volume = backend.created()
        backend.connect(volume)
        place = Path(backend.driver.configuration.local_path, ".exports", f"{volume.name}.json")

        assert json.loads(place.read_text()) == {"port": 0, "users": [CONNECTOR["host"]]}


class _Attachment:
    def __init__(self, host):
        self.id = uuid.uuid4().hex
        self.attached_host = host
        self.attach_status = "attached"


def certificates(place):
    """Make an authority, and a certificate of it for server and client alike."""
    place.mkdir()
    run = [
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority"
        " -keyout ca-key.pem -out ca-cert.pem",
        "openssl req -newkey rsa:2048 -nodes -subj /CN=127.0.0.1"
        " -keyout server-key.pem -out request.pem",
        "openssl x509 -req -days 2 -in request.pem -CA ca-cert.pem -CAkey ca-key.pem"
        " -CAcreateserial -extfile names -out server-cert.pem",
    ]
    (place / "names").write_text("subjectAltName = IP:127.0.0.1\n")
    for command in run:
        subprocess.run(command.split(), cwd=place, check=True, capture_output=True)
    for kind in ("cert", "key"):
        shutil.copy(place / f"server-{kind}.pem", place / f"client-{kind}.pem")
    return place
