# SPDX-License-Identifier: Apache-2.0
"""A guest reads its volume while the service is stopped, killed and started again."""

from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from drivers.interface.records import Record
from tests.conformance.places import require_programs
from tests.functional.cloud import BACKEND, HOST, Cloud
from tests.functional.local_driver.nbd import Disk, servers
from tests.functional.local_driver.systemd import Systemd
from tests.functional.service import Service
from tests.servers import until

POOL_HOST = f"{HOST}#{BACKEND}"
CONNECTOR = {"host": "guests-host"}
UNIT = f"holdfast-volume@{BACKEND}.service"


@pytest.fixture
def folder() -> Iterator[Path]:
    """A directory with a short path: that of a socket may have 107 bytes."""
    require_programs("qemu-nbd")
    with tempfile.TemporaryDirectory(prefix="hfr-", dir="/tmp") as name:
        yield Path(name)


@pytest.fixture
def cloud(
    volume_service: Callable[..., Service], rabbit_url: str, tmp_path: Path, folder: Path
) -> Iterator[Cloud]:
    """The local driver, its volumes served as network block devices; nothing is started."""
    backend = {"volume_driver": "local", "local_path": folder / "v", "local_export": "nbd"}
    backend["local_nbd_socket"] = folder / "nbd.sock"
    database = f"sqlite:///{tmp_path / 'cinder.sqlite'}"
    made = Cloud(volume_service, rabbit_url, database, tmp_path, backend)
    yield made
    made.close()
    for server in servers(folder):
        server.end()


@pytest.fixture
def systemd(folder: Path, cloud: Cloud, tmp_path: Path) -> Iterator[Systemd]:
    """A systemd with the units."""
    if reason := Systemd.missing():
        pytest.skip(reason)
    made = Systemd(folder, cloud.service.config, tmp_path)
    try:
        made.start()
        yield made
    finally:
        made.close()


class Guest(threading.Thread):
    """Writes and reads over one connection, without a pause."""

    def __init__(self, info: dict[str, Any]) -> None:
        super().__init__()
        self._disk = Disk(info["data"]["socket"], info["data"]["export"])
        self._done = threading.Event()
        self.count = 0
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            with self._disk as disk:
                while not self._done.is_set():
                    data = self.count.to_bytes(8, "big").ljust(4096, b"g")
                    disk.write(self.count % 256 * 4096, data)
                    assert disk.read(self.count % 256 * 4096, 4096) == data
                    self.count += 1
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            self.error = error

    def goes_on(self) -> None:
        """Wait until it has read some more."""
        before = self.count
        until(lambda: self.error or self.count > before + 10, 60, "the guest")
        assert self.error is None, self.error

    def stop(self) -> None:
        self._done.set()
        self.join()


def attached(cloud: Cloud) -> tuple[Record, dict[str, Any]]:
    """Create a volume, and attach it as the API does."""
    volume = cloud.volume(host=POOL_HOST)
    cloud.cast("create_volume", volume=volume)
    cloud.wait_status(volume, "available")
    cloud.records.volumes.update(volume.id, status="reserved")
    attachment = cloud.attachment(volume, "reserved")
    info = cloud.call(
        "attachment_update",
        vref=cloud.records.volumes.get(volume.id),
        connector=CONNECTOR,
        attachment_id=attachment.id,
    )
    cloud.records.attachments.update(attachment.id, attach_status="attached")
    cloud.records.volumes.update(volume.id, status="in-use", attach_status="attached")
    data = {name: value for name, value in info.items() if name != "driver_volume_type"}
    return volume, {"data": data}


def test_a_guest_notices_no_end_of_the_service(cloud: Cloud, folder: Path) -> None:
    """Neither a stop, nor a kill of its whole process group, nor the starts after them."""
    cloud.service.start()
    volume, info = attached(cloud)
    before = servers(folder)
    guest = Guest(info)
    guest.start()
    try:
        guest.goes_on()
        cloud.service.stop()
        guest.goes_on()
        cloud.service.start()
        guest.goes_on()
        cloud.service.kill()
        guest.goes_on()
        cloud.service.start()
        again = cloud.call("initialize_connection", volume=volume, connector=CONNECTOR)
        guest.goes_on()
    finally:
        guest.stop()

    assert again["data"]["socket"] == info["data"]["socket"]
    assert servers(folder) == before and len(before) == 1


def test_a_guest_notices_no_end_of_the_unit(cloud: Cloud, folder: Path, systemd: Systemd) -> None:
    """The servers are units of their own: systemd ends every process of a unit that stops."""
    systemd.ctl("start", UNIT)
    volume, info = attached(cloud)
    before = servers(folder)
    guest = Guest(info)
    guest.start()
    try:
        guest.goes_on()
        systemd.ctl("restart", UNIT)
        guest.goes_on()
        again = cloud.call("initialize_connection", volume=volume, connector=CONNECTOR)
        systemd.ctl("stop", UNIT, "holdfast-nbd.socket")
        guest.goes_on()
        running = systemd.ctl("list-units", "--plain", "--no-legend", "holdfast-nbd@*")
    finally:
        guest.stop()

    assert again["data"]["socket"] == info["data"]["socket"]
    assert servers(folder) == before and len(before) == 1
    assert running.count(" running ") == 1, running


def test_a_server_without_its_files_is_found(cloud: Cloud, folder: Path) -> None:
    """As after a kill between the start of a server and the moment it writes its pid."""
    cloud.service.start()
    volume, info = attached(cloud)
    before = servers(folder)
    guest = Guest(info)
    guest.start()
    try:
        cloud.service.kill()
        for path in (folder / "v/.exports").glob("*.pid"):
            path.unlink()
        cloud.service.start()
        cloud.call("initialize_connection", volume=volume, connector=CONNECTOR)
        guest.goes_on()
    finally:
        guest.stop()

    assert servers(folder) == before and len(before) == 1
    kept = json.loads(next((folder / "v/.exports").glob("*.json")).read_text())
    assert kept["users"] == [CONNECTOR["host"]]
