# SPDX-License-Identifier: Apache-2.0
"""Clones of encrypted volumes of the local driver: a real Barbican, and LUKS that opens."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from drivers.encryption import encrypted_volume
from drivers.encryption.luks_header import WrongPassphrase
from drivers.interface.records import Record
from tests.conformance.places import require_programs
from tests.conftest import require
from tests.functional import cloud as clouds
from tests.functional.cloud import BACKEND, HOST, PROJECT, USER, Cloud
from tests.functional.local_driver.test_encrypted_images import encrypted_type
from tests.functional.service import Service
from tests.servers import Barbican, Servers
from tests.servers.keys.real_barbican import token

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

    def key(self, data: bytes) -> str:
        """Store a key as the API does."""
        return self.barbican.store(PROJECT, data, USER)

    def passphrase(self, volume: Record) -> bytes:
        """Return that of the key in a volume's row."""
        return self.barbican.payload(PROJECT, volume.encryption_key_id).hex().encode()

    def shows(self, volume: Record, passphrase: bytes) -> bool:
        """Return whether a passphrase opens a volume, which then has to have the data."""
        path = self._directory / "volumes" / volume.name
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
