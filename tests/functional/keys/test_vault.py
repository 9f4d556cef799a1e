# SPDX-License-Identifier: Apache-2.0
"""Keys in a stand-in for Vault, which asks with the account of the service alone."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from flows.errors import KeyManagerError, ManagedObjectNotFoundError
from tests.functional.keys.conftest import OWNER, Made, request
from tests.servers.keys.vault import ROLE, SECRET_ID, TOKEN, Vault
from worker.adapters.keys.key_manager import KeyManager

WITHOUT_TOKEN = request(None)


@pytest.fixture
def vault() -> Iterator[Vault]:
    server = Vault()
    yield server
    server.close()


@pytest.fixture
def keys(vault: Vault, made: Made) -> KeyManager:
    login = {"approle_role_id": ROLE, "approle_secret_id": SECRET_ID, "vault_url": vault.url}
    return made(key_manager={"backend": "vault"}, vault=login)


def test_a_key_is_made_cloned_read_and_deleted(keys: KeyManager, vault: Vault) -> None:
    one = keys.create_key(WITHOUT_TOKEN, OWNER, "aes", 256)
    other = keys.clone(WITHOUT_TOKEN, one, OWNER)

    assert set(vault.secrets) == {one, other}
    assert len(one) == 32  # an id without dashes is kept as it is
    assert vault.secrets[other]["name"] == "holdfast a-backup"
    found = keys.passphrase(WITHOUT_TOKEN, other)
    assert found == keys.passphrase(WITHOUT_TOKEN, one)
    assert found.reveal().decode() == vault.secrets[one]["value"]
    keys.delete(WITHOUT_TOKEN, one)
    keys.delete(WITHOUT_TOKEN, one)
    assert set(vault.secrets) == {other}
    assert vault.logins == 1


def test_a_store_that_was_refused_without_an_error_is_noticed(
    keys: KeyManager, vault: Vault
) -> None:
    one = keys.create_key(WITHOUT_TOKEN, OWNER, "aes", 256)
    vault.answers = [0, 400]  # the key is read, and its clone is refused

    with pytest.raises(KeyManagerError):
        keys.clone(WITHOUT_TOKEN, one, OWNER)

    assert set(vault.secrets) == {one}


def test_errors_of_the_server_are_waited_for_and_refusals_are_not(
    keys: KeyManager, vault: Vault
) -> None:
    one = keys.create_key(WITHOUT_TOKEN, OWNER, "aes", 256)
    vault.answers = [503]
    assert keys.passphrase(WITHOUT_TOKEN, one)
    vault.answers = [403, 500]
    with pytest.raises(KeyManagerError, match="not authorized"):
        keys.passphrase(WITHOUT_TOKEN, one)
    assert vault.answers == [500]
    vault.answers = []
    with pytest.raises(ManagedObjectNotFoundError):
        keys.passphrase(WITHOUT_TOKEN, "f" * 32)


def test_no_log_has_a_key_or_a_token(
    keys: KeyManager, vault: Vault, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    one = keys.create_key(WITHOUT_TOKEN, OWNER, "aes", 256)
    keys.clone(WITHOUT_TOKEN, one, OWNER)

    for secret in (vault.secrets[one]["value"], TOKEN, SECRET_ID):
        assert secret not in caplog.text
