# SPDX-License-Identifier: Apache-2.0
"""Clones and retypes of encrypted volumes of the local driver: Barbican, and LUKS that opens."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from drivers.encryption import encrypted_volume
from drivers.encryption.luks_header import WrongPassphrase
from drivers.interface.records import Record
from tests.conformance.places import require_programs
from tests.conftest import require
from tests.functional import cloud as clouds
from tests.functional.cloud import BACKEND, HOST, PROJECT, USER, Cloud
from tests.functional.local_driver.test_encrypted_images import encrypted_type
from tests.functional.service import Service
from tests.servers import Barbican, Servers, until
from tests.servers.keys.real_barbican import token
from worker.db import models

DATA = os.urandom(1 << 20)
GIB = 1 << 30


class Clones:
    """A service with the local driver, and the Barbican of its requests."""

    def __init__(self, cloud: Cloud, barbican: Barbican, directory: Path) -> None:
        self.cloud, self.barbican, self._directory = cloud, barbican, directory
        self._others = set(barbican.secrets(PROJECT))

    def create(self, type_id: str, key: bytes, **columns: str) -> Record:
        """Create a volume with a key that the API has made, of an image unless it is a clone."""
        columns |= {"volume_type_id": type_id, "encryption_key_id": self.key(key)}
        volume = self.cloud.volume(host=f"{HOST}#{BACKEND}", **columns)
        spec = {}
        if "source_volid" not in columns:
            spec = {"image_id": self.cloud.image(DATA, disk_format="raw")["id"]}
        self.cloud.cast("create_volume", volume=volume, request_spec=spec)
        row = self.cloud.wait_status(volume, "available")
        self.cloud.wait_idle()
        assert row is not None
        return row

    def retype(self, volume: Record, type_id: str) -> Record:
        """Give a volume another type on its backend, as the API does."""
        self.cloud.records.volumes.update(volume.id, status="retyping")
        host = {"host": volume.host, "cluster_name": None, "capabilities": {}}
        more = {"migration_policy": "on-demand", "reservations": [], "old_reservations": []}
        self.cloud.cast("retype", "3.5", volume=volume, new_type_id=type_id, host=host, **more)
        row = self.cloud.wait_status(volume, "available")
        self.cloud.wait_idle()
        assert row is not None and row.volume_type_id == type_id, row and row.migration_status
        return row

    def wait_for_one(self) -> None:
        """Wait until the former volume of a retype has gone."""
        rows = self.cloud.records.volumes
        until(lambda: len(rows.list()) == 1, 60, "the deletion of the former volume")

    def content(self, volume: Record) -> bytes:
        """Return the first bytes of a volume."""
        name = volume._name_id or volume.id
        with (self._directory / "volumes" / f"volume-{name}").open("rb") as file:
            return file.read(len(DATA))

    def key(self, data: bytes) -> str:
        """Store a key as the API does."""
        return self.barbican.store(PROJECT, data, USER)

    def passphrase(self, volume: Record) -> bytes:
        """Return that of the key in a volume's row."""
        return self.barbican.payload(PROJECT, volume.encryption_key_id).hex().encode()

    def shows(self, volume: Record, passphrase: bytes) -> bool:
        """Return whether a passphrase opens a volume, which then has to have the data."""
        path = self._directory / "volumes" / f"volume-{volume._name_id or volume.id}"
        with path.open("r+b", buffering=0) as file:
            try:
                data = encrypted_volume.existing(file, passphrase, GIB, self._directory / "header")
            except WrongPassphrase:
                return False
            assert data.read(0, len(DATA)) == DATA
        return True

    def assert_exact(self) -> None:
        """Each new secret of the project is named by a row, and each named one exists."""
        rows = self.cloud.records.volumes.list()
        named = {row.encryption_key_id for row in rows if row.encryption_key_id}
        assert set(self.barbican.secrets(PROJECT)) - self._others == named


@pytest.fixture
def clones(
    volume_service: Callable[..., Service],
    servers: Servers,
    rabbit_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Clones]:
    require(Barbican)
    require_programs("cryptsetup")
    monkeypatch.setitem(clouds.REQUEST, "auth_token", token(USER, PROJECT))
    backend = {"volume_driver": "local", "local_path": str(tmp_path / "volumes")}
    sections = {"barbican": {"barbican_endpoint": servers.barbican.url}}
    database = f"sqlite:///{tmp_path / 'cinder.sqlite'}"
    made = Cloud(volume_service, rabbit_url, database, tmp_path, backend, **sections)
    made.service.start()
    yield Clones(made, servers.barbican, tmp_path)
    made.close()


@pytest.mark.parametrize("provider", ["luks", "luks2"])
def test_only_its_own_key_opens_a_clone(clones: Clones, provider: str) -> None:
    of_type, key = encrypted_type(clones.cloud, provider), os.urandom(32)
    source = clones.create(of_type, key)
    assert clones.shows(source, key.hex().encode())
    clone = clones.create(of_type, key, source_volid=source.id)

    mine = clones.passphrase(clone)
    assert mine != key.hex().encode()
    assert clones.shows(clone, mine) and not clones.shows(clone, key.hex().encode())
    assert clones.shows(source, key.hex().encode()) and not clones.shows(source, mine)
    clones.assert_exact()
    assert clones.barbican.secrets(PROJECT)[clone.encryption_key_id] == f"holdfast {clone.id}"
    for secret in (mine.decode(), key.hex()):
        assert secret not in clones.cloud.service.text()


def test_a_retype_encrypts_and_decrypts(clones: Clones) -> None:
    plain, luks, luks2 = (encrypted_type(clones.cloud, one) for one in ("plain", "luks", "luks2"))
    with clones.cloud.database.writer() as connection:
        table = models.encryption
        connection.execute(sa.delete(table).where(table.c.volume_type_id == plain))
    key = os.urandom(32)
    first = clones.create(luks, key)
    seen = {key.hex().encode()}
    for of_type in (luks2, plain):
        volume = clones.retype(first, of_type)
        if of_type == plain:
            assert volume.encryption_key_id is None and clones.content(volume) == DATA
        else:
            mine = clones.passphrase(volume)
            assert mine not in seen and clones.shows(volume, mine)
            assert not any(clones.shows(volume, one) for one in seen)
            assert DATA[:4096] not in clones.content(volume)
            seen.add(mine)
        clones.wait_for_one()
        clones.cloud.wait_idle()
        clones.assert_exact()
    for secret in seen:
        assert secret.decode() not in clones.cloud.service.text()
