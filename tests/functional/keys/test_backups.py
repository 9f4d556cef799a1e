# SPDX-License-Identifier: Apache-2.0
"""Encrypted backups: a ledger of the keys in a real Barbican, and LUKS that opens."""

from __future__ import annotations

import base64
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from drivers.interface.records import Record
from tests.conftest import missing, require
from tests.functional.backups.backup_cloud import BackupCloud
from tests.functional.backups.conftest import running, shown
from tests.functional.cloud import PROJECT, USER
from tests.servers import Barbican, Broker, Servers, find
from tests.servers.keys.real_barbican import token
from tests.servers.keystone import Keystone

TOKEN = token(USER, PROJECT)
QUICK = ("--pbkdf-force-iterations", "1000", "--batch-mode", "--type", "luks1")


class EncryptedCloud:
    """A backup service and the Barbican of its requests."""

    def __init__(self, cloud: BackupCloud, barbican: Barbican) -> None:
        self.cloud, self.barbican, self.records = cloud, barbican, cloud.records
        self.secrets: list[bytes] = []
        cloud.request["auth_token"] = TOKEN

    def volume(self) -> Record:
        """Make a volume with a key, as the API does, and LUKS on it, as a host does."""
        volume = self.cloud.filled(len(self.secrets))
        data = os.urandom(32)
        self.secrets.append(data)
        key_id = self.barbican.store(PROJECT, data)
        self.records.volumes.update(volume.id, encryption_key_id=key_id)
        path = str(self.cloud.path(volume))
        cryptsetup("luksFormat", *QUICK, "--key-file=-", path, passphrase=data.hex())
        return self.records.volumes.get(volume.id)

    def opens(self, volume: Record, key_id: str) -> bool:
        """Return whether a key opens a volume."""
        data = self.barbican.payload(PROJECT, key_id)
        path = str(self.cloud.path(volume))
        test = ("open", "--test-passphrase", "--key-file=-", path)
        return cryptsetup(*test, passphrase=data.hex(), check=False) == 0

    def key_of(self, volume: Record) -> str:
        return str(self.records.volumes.get(volume.id).encryption_key_id)

    def named(self) -> set[str]:
        """Return the ids of keys in live rows."""
        rows = [*self.records.volumes.list(), *self.records.backups.list()]
        return {row.encryption_key_id for row in rows if row.encryption_key_id}

    def assert_exact(self) -> None:
        """Each secret of the project is named by a row, and each named one exists."""
        assert set(self.barbican.secrets(PROJECT)) == self.named()


def cryptsetup(*arguments: str, passphrase: str, check: bool = True) -> int:
    """Run cryptsetup, which gets the passphrase by its standard input; return its status."""
    program = find("cryptsetup") or missing("no cryptsetup: tox -e functional")
    done = subprocess.run(
        [program, *arguments], input=passphrase.encode(), capture_output=True, check=False
    )
    assert not check or done.returncode == 0, done.stderr
    return done.returncode


@pytest.fixture(scope="module")
def shared(
    servers: Servers, broker: Broker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EncryptedCloud]:
    require(Barbican)
    directory = tmp_path_factory.mktemp("encrypted")
    sections = {"barbican": {"barbican_endpoint": servers.barbican.url}}
    sections["key_manager"] = {"retry_seconds": "3"}
    with running(broker, directory, sections=sections) as cloud:
        yield EncryptedCloud(cloud, servers.barbican)


@pytest.fixture
def encrypted(shared: EncryptedCloud) -> Iterator[EncryptedCloud]:
    shared.cloud.request["auth_token"] = TOKEN
    for found in shown(shared.cloud):
        assert found is shared.cloud
        yield shared


def test_a_backup_is_made_restored_and_deleted_with_keys_of_its_own(
    encrypted: EncryptedCloud,
) -> None:
    cloud, source = encrypted.cloud, encrypted.volume()
    key = encrypted.key_of(source)

    backup = cloud.made(source)
    own = cloud.records.backups.get(backup.id).encryption_key_id
    assert own not in (None, key)
    encrypted.assert_exact()

    target = encrypted.volume()
    former = encrypted.key_of(target)
    assert not encrypted.opens(source, former)
    cloud.restore(backup, target)
    cloud.wait_status(target, "available")
    after = encrypted.key_of(target)
    assert after not in (former, key, own)
    encrypted.assert_exact()
    assert cloud.same(source, target)
    assert encrypted.opens(target, after)
    with cloud.path(target).open("rb") as file:
        assert file.read(6) == b"LUKS\xba\xbe"

    cloud.records.backups.update(backup.id, status="deleting")
    cloud.cast_backup("delete_backup", backup=backup)
    cloud.wait_status(backup, "gone")
    encrypted.assert_exact()
    assert own not in encrypted.barbican.secrets(PROJECT)


def test_a_restore_to_the_same_volume_keeps_its_key(encrypted: EncryptedCloud) -> None:
    cloud, volume = encrypted.cloud, encrypted.volume()
    key, backup = encrypted.key_of(volume), cloud.made(volume)

    cloud.restore(backup, volume)
    cloud.wait_status(volume, "available")

    assert encrypted.key_of(volume) == key
    assert encrypted.opens(volume, key)
    encrypted.assert_exact()


def test_a_token_that_may_not_read_the_key_ends_the_backup(encrypted: EncryptedCloud) -> None:
    cloud, volume = encrypted.cloud, encrypted.volume()
    cloud.request["auth_token"] = token(USER, PROJECT, "reader")

    backup = cloud.begin(volume)
    row = cloud.wait_status(backup, "error")

    assert row is not None and "not allowed" in row.fail_reason
    assert cloud.records.volumes.get(volume.id).status == "available"
    encrypted.assert_exact()


def test_no_file_of_the_service_has_a_key_or_a_token(encrypted: EncryptedCloud) -> None:
    cloud, volume = encrypted.cloud, encrypted.volume()
    backup = cloud.made(volume)
    target = encrypted.volume()
    cloud.restore(backup, target)
    cloud.wait_status(target, "available")

    texts = [TOKEN.encode()]
    for data in encrypted.secrets:
        texts += [data, data.hex().encode(), base64.b64encode(data)]
    directory = Path(cloud.backup_service.directory)
    files = [
        one for one in directory.rglob("*") if one.is_file() and cloud.store not in one.parents
    ]
    assert cloud.backup_service.log in files
    for file in files:
        content = file.read_bytes()
        assert [one for one in texts if one in content] == [], file


@pytest.mark.parametrize("has_account", [True, False], ids=["account", "no account"])
def test_a_deletion_that_a_restart_interrupts_needs_an_account(
    has_account: bool, broker: Broker, tmp_path: Path
) -> None:
    require(Barbican)
    barbican = Barbican(tmp_path / "barbican")
    barbican.start()
    # An administrator of another project may delete keys, as Barbican's default policy says.
    keystone = Keystone({"key-manager": barbican.url}, "secret", token("h", "service", "admin"))
    sections: dict[str, dict[str, str]] = {"barbican": {"barbican_endpoint": barbican.url}}
    if has_account:
        sections["barbican_service_user"] = {
            "auth_type": "password",
            "auth_url": keystone.url,
            "username": "holdfast",
            "password": "secret",
            "user_domain_id": "default",
            "project_name": "service",
            "project_domain_id": "default",
        }
    try:
        with running(broker, tmp_path, sections=sections) as cloud:
            here = EncryptedCloud(cloud, barbican)
            volume = here.volume()
            backup = cloud.made(volume)
            cloud.records.backups.update(backup.id, status="deleting")
            barbican.kill()
            cloud.cast_backup("delete_backup", backup=backup)
            cloud.backup_service.wait_for_log("the key manager is asked again")
            cloud.backup_service.kill()
            barbican.start()
            cloud.backup_service.start()
            if has_account:
                cloud.wait_status(backup, "gone")
            else:
                row = cloud.wait_status(backup, "error_deleting")
                assert row is not None and "set [key_manager] auth_type" in row.fail_reason
                cloud.records.backups.update(backup.id, status="deleting")
                cloud.cast_backup("delete_backup", backup=backup)
                cloud.wait_status(backup, "gone")
            here.assert_exact()
    finally:
        barbican.close()
        keystone.shutdown()
        keystone.server_close()
