# SPDX-License-Identifier: Apache-2.0
"""Images into encrypted volumes of the local driver, through the service; the fixed key of old.

The bytes of the volume are opened without the service, with the passphrase of its key.
"""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from oslo_utils import units

from drivers.encryption import encrypted_volume
from drivers.encryption.luks_header import MAGIC, WrongPassphrase
from drivers.interface.records import Record
from tests.conformance.places import require_programs
from tests.functional.cloud import BACKEND, HOST, Cloud
from tests.functional.service import Service
from worker.db import models

FIXED_KEY = "0123456789abcdef" * 4
KEY_ID = str(uuid.UUID(int=0))
DATA = os.urandom(units.Mi) + bytes(units.Mi) + os.urandom(units.Mi)


@pytest.fixture
def cloud(
    volume_service: Callable[..., Service], rabbit_url: str, tmp_path: Path
) -> Iterator[Cloud]:
    require_programs("cryptsetup", "qemu-img")
    backend = {"volume_driver": "local", "local_path": str(tmp_path / "volumes")}
    manager = {"backend": "cinder.keymgr.conf_key_mgr.ConfKeyManager", "fixed_key": FIXED_KEY}
    database = f"sqlite:///{tmp_path / 'cinder.sqlite'}"
    made = Cloud(volume_service, rabbit_url, database, tmp_path, backend, key_manager=manager)
    made.service.start()
    yield made
    made.close()


def encrypted_type(cloud: Cloud, provider: str) -> str:
    """Return the id of a new type whose volumes are encrypted."""
    type_id = str(uuid.uuid4())
    row = {"encryption_id": str(uuid.uuid4()), "volume_type_id": type_id, "provider": provider}
    row |= {"cipher": "aes-xts-plain64", "key_size": 256, "control_location": "front-end"}
    with cloud.database.writer() as connection:
        known = {"id": type_id, "name": f"type {provider}", "deleted": False}
        connection.execute(sa.insert(models.volume_types).values(**known))
        connection.execute(sa.insert(models.encryption).values(deleted=False, **row))
    return type_id


def create(cloud: Cloud, type_id: str, wanted: str, data: bytes, disk_format: str) -> Record:
    image = cloud.image(data, disk_format=disk_format)
    columns = {"volume_type_id": type_id, "encryption_key_id": KEY_ID}
    volume = cloud.volume(host=f"{HOST}#{BACKEND}", **columns)
    cloud.cast("create_volume", volume=volume, request_spec={"image_id": image["id"]})
    row = cloud.wait_status(volume, wanted)
    cloud.wait_idle()
    assert row is not None
    return row


def qcow2(data: bytes, directory: Path) -> bytes:
    (directory / "disk").write_bytes(data)
    made = directory / "disk.qcow2"
    command = ["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(directory / "disk")]
    subprocess.run([*command, str(made)], check=True)
    return made.read_bytes()


@pytest.mark.parametrize(("provider", "version"), [("luks", 1), ("luks2", 2)])
@pytest.mark.parametrize("disk_format", ["raw", "qcow2"])
def test_only_the_key_shows_the_image(
    cloud: Cloud, tmp_path: Path, provider: str, version: int, disk_format: str
) -> None:
    data = qcow2(DATA, tmp_path) if disk_format == "qcow2" else DATA
    volume = create(cloud, encrypted_type(cloud, provider), "available", data, disk_format)

    path, scratch = tmp_path / "volumes" / volume.name, tmp_path / "header"
    with path.open("r+b", buffering=0) as file:
        assert file.read(8) == MAGIC + bytes([0, version])
        opened = encrypted_volume.existing(file, FIXED_KEY.encode(), units.Gi, scratch)
        assert opened.read(0, len(DATA)) == DATA
        with pytest.raises(WrongPassphrase):
            encrypted_volume.existing(file, FIXED_KEY[::-1].encode(), units.Gi, scratch)
        file.seek(0)
        stored = file.read(32 * units.Mi)
    assert DATA[:4096] not in stored and DATA[-4096:] not in stored
    assert path.stat().st_size == units.Gi and path.stat().st_blocks * 512 < units.Gi // 4
    assert FIXED_KEY not in cloud.service.text()


def test_an_image_that_fills_the_volume_has_no_room_for_the_header(
    cloud: Cloud, tmp_path: Path
) -> None:
    (tmp_path / "large").touch()
    os.truncate(tmp_path / "large", units.Gi)
    command = ["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(tmp_path / "large")]
    subprocess.run([*command, str(tmp_path / "large.qcow2")], check=True)
    data = (tmp_path / "large.qcow2").read_bytes()
    create(cloud, encrypted_type(cloud, "luks"), "error", data, "qcow2")

    assert [one.event_id for one in cloud.records.messages.list()] == ["VOLUME_VOLUME_005_001"]
    assert not list((tmp_path / "volumes").glob("volume-*"))
