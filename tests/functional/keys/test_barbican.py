# SPDX-License-Identifier: Apache-2.0
"""Keys in a real Barbican: rights of tokens and accounts, access lists, outages."""

from __future__ import annotations

import base64
import logging
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.errors import KeyManagerError, ManagedObjectNotFoundError
from tests.conftest import require
from tests.functional.keys.conftest import OWNER, Made, request
from tests.servers import Barbican, Servers
from tests.servers.keys.real_barbican import token
from tests.servers.keystone import Keystone
from worker.adapters.keys.key_manager import KeyManager

KEY = bytes(range(32))


@pytest.fixture
def barbican(servers: Servers) -> Barbican:
    require(Barbican)
    return servers.barbican


@pytest.fixture
def project() -> str:
    """The project of a test."""
    return uuid.uuid4().hex


@pytest.fixture
def keys(barbican: Barbican, made: Made) -> KeyManager:
    return made(barbican={"barbican_endpoint": barbican.url})


@pytest.fixture
def service(project: str) -> str:
    """The project of the account of the service."""
    return f"s{project[1:]}"


@pytest.fixture
def account(barbican: Barbican, service: str, made: Made) -> Iterator[KeyManager]:
    """A key manager with an account that finds Barbican in its catalogue."""
    services = {"key-manager": f"{barbican.url}/v1"}
    keystone = Keystone(services, "secret", token("holdfast", service))
    login = {"auth_type": "keystone_password", "auth_url": keystone.url, "username": "holdfast"}
    login |= {"password": "secret", "user_domain_id": "default", "project_name": "service"}
    yield made(key_manager={**login, "project_domain_id": "default"})
    keystone.shutdown()
    keystone.server_close()


def test_a_clone_is_in_the_project_of_the_token_and_has_the_bytes(
    keys: KeyManager, barbican: Barbican, project: str
) -> None:
    one = barbican.store(project, KEY)
    me = request(token("user", project))

    other = keys.clone(me, one, OWNER)

    assert barbican.secrets(project) == {one: None, other: "holdfast a-backup"}
    assert barbican.payload(project, other) == KEY
    facts = [barbican.ask(token("u", project), "GET", f"secrets/{key}") for key in (one, other)]
    kinds = [
        {name: fact[name] for name in ("algorithm", "bit_length", "secret_type")} for fact in facts
    ]
    assert kinds[0] == kinds[1]
    assert keys.passphrase(me, other).reveal() == KEY.hex().encode()


def test_a_new_key_has_the_length_and_leaves_no_order(
    keys: KeyManager, barbican: Barbican, project: str
) -> None:
    me = request(token("user", project))

    one = keys.create_key(me, OWNER, "aes", 256)

    assert len(barbican.payload(project, one)) == 32
    assert barbican.ask(me.auth_token, "GET", "orders")["orders"] == []
    keys.delete(me, one)
    keys.delete(me, one)
    assert barbican.secrets(project) == {}


@pytest.mark.parametrize(
    ("who", "text"),
    [
        (("user", "another"), "not allowed"),
        (("user", "", "reader"), "not allowed"),
        ((), "no such token.*no account"),
    ],
)
def test_a_token_without_rights_is_refused_at_once(
    keys: KeyManager, barbican: Barbican, project: str, who: Any, text: str
) -> None:
    one = barbican.store(project, KEY)
    auth = token(who[0], who[1] or project, *who[2:]) if who else "unknown"

    with pytest.raises(KeyManagerError, match=text) as caught:
        keys.passphrase(request(auth), one)

    assert not isinstance(caught.value, ManagedObjectNotFoundError)


def test_a_deleted_key_is_reported_as_absent(
    keys: KeyManager, barbican: Barbican, project: str
) -> None:
    one = barbican.store(project, KEY)
    barbican.delete(project, one)

    with pytest.raises(ManagedObjectNotFoundError, match=one):
        keys.clone(request(token("user", project)), one, OWNER)


def test_without_a_token_the_account_asks_and_the_user_may_read(
    account: KeyManager, barbican: Barbican, project: str, service: str
) -> None:
    one = barbican.store(service, KEY)

    other = account.clone(request(None), one, OWNER)

    assert set(barbican.secrets(service)) == {one, other}
    as_user = token("user", project, "member")
    path = f"secrets/{other}/payload"
    assert barbican._open(as_user, "GET", path, "application/octet-stream") == KEY
    acl = barbican.ask(token("holdfast", service), "GET", f"secrets/{other}/acl")
    assert acl["read"]["users"] == ["user"]


def test_an_expired_token_is_replaced_by_the_account(
    account: KeyManager, barbican: Barbican, service: str
) -> None:
    one = barbican.store(service, KEY)
    expired = request("expired")
    expired.service_catalog = [{"type": "key-manager", "endpoints": [{"publicURL": barbican.url}]}]

    assert account.passphrase(expired, one).reveal() == KEY.hex().encode()


def test_keys_that_no_row_names_are_found_by_their_name(
    keys: KeyManager, barbican: Barbican, project: str
) -> None:
    me, one = request(token("user", project)), barbican.store(project, KEY)
    lost, named = keys.clone(me, one, OWNER), keys.clone(me, one, OWNER)

    keys.remove_unnamed(me, OWNER, [named])

    assert set(barbican.secrets(project)) == {one, named}
    assert lost


def test_an_absent_barbican_is_asked_again_and_then_given_up(made: Made, tmp_path: Path) -> None:
    require(Barbican)
    server = Barbican(tmp_path / "barbican")
    server.start()
    try:
        keys = made(barbican={"barbican_endpoint": server.url}, key_manager={"retry_seconds": 1})
        one = server.store("p", KEY)
        server.kill()
        with pytest.raises(KeyManagerError, match="connection") as caught:
            keys.passphrase(request(token("user", "p")), one)
        assert not isinstance(caught.value, ManagedObjectNotFoundError)
        server.start()
        assert keys.passphrase(request(token("user", "p")), one)
    finally:
        server.close()


def test_no_log_has_a_key_or_a_token(
    keys: KeyManager, barbican: Barbican, project: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    me, one = request(token("user", project)), barbican.store(project, KEY)
    keys.passphrase(me, keys.clone(me, one, OWNER))

    assert "secrets" in caplog.text  # requests are logged, without their bodies
    for secret in (me.auth_token, KEY.hex(), base64.b64encode(KEY).decode(), repr(KEY)[2:-1]):
        assert secret not in caplog.text
