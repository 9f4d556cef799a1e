# SPDX-License-Identifier: Apache-2.0
"""Credentials for Barbican: the token of a request, accounts in their order, addresses."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from oslo_config import cfg

from flows.errors import KeyManagerError
from worker.adapters.keys.credentials import Credentials
from worker.conf import option_groups

SECRET = "gAAAA-a-token"
ENDPOINTS = [
    {"region": "one", "publicURL": "http://one/v1", "internalURL": "http://in/"},
    {"region": "two", "publicURL": "http://two"},
]
CATALOG = [{"type": "image", "endpoints": [{}]}, {"type": "key-manager", "endpoints": ENDPOINTS}]


def configured(text: str, tmp_path: Any) -> Credentials:
    file = tmp_path / "cinder.conf"
    file.write_text(text)
    conf = cfg.ConfigOpts()
    option_groups.register_all(conf)
    conf([], default_config_files=[str(file)])
    return Credentials(conf)


def request(token: str | None = SECRET, catalog: Any = None) -> Any:
    return SimpleNamespace(auth_token=token, service_catalog=catalog)


@pytest.mark.parametrize(
    ("options", "catalog", "address"),
    [
        ("", CATALOG, "http://one"),
        ("barbican_endpoint_type = internal", CATALOG, "http://in"),
        ("barbican_region_name = two", CATALOG, "http://two"),
        ("barbican_endpoint = http://given/v1/", CATALOG, "http://given"),
        ("barbican_endpoint = http://given", None, "http://given"),
    ],
)
def test_a_token_is_sent_to_the_configured_address_or_that_of_its_catalogue(
    options: str, catalog: Any, address: str, tmp_path: Any
) -> None:
    credentials = configured(f"[barbican]\n{options}", tmp_path)

    (found,) = credentials.of(request(catalog=catalog))
    session, opened = credentials.opened(found)

    assert (found.account, found.address, opened) == (None, address, address)
    assert session.get_token() == SECRET
    assert SECRET not in repr(found)


@pytest.mark.parametrize(
    "catalog",
    [None, "text", [], [1], [{"type": "key-manager"}], [{"type": "key-manager", "endpoints": "x"}]],
)
@pytest.mark.parametrize("token", [None, SECRET])
def test_a_request_that_leads_nowhere_names_the_section_to_fill(
    catalog: Any, token: str | None, tmp_path: Any
) -> None:
    with pytest.raises(KeyManagerError, match=r"set \[key_manager\] auth_type") as caught:
        list(configured("", tmp_path).of(request(token, catalog)))

    assert SECRET not in str(caught.value)


KEYSTONE = "auth_type = password\nauth_url = http://k/v3\nusername = h\npassword = p\n"
OWN = KEYSTONE.replace("password\na", "keystone_password\na", 1)


@pytest.mark.parametrize(
    ("sections", "first"),
    [
        (["keystone_authtoken"], "keystone_authtoken"),
        (["keystone_authtoken", "barbican_service_user"], "barbican_service_user"),
        (["keystone_authtoken", "barbican_service_user", "key_manager"], "key_manager"),
    ],
)
def test_accounts_have_an_order(sections: list[str], first: str, tmp_path: Any) -> None:
    texts = (f"[{name}]\n{OWN if name == 'key_manager' else KEYSTONE}" for name in sections)
    credentials = configured("\n".join(texts), tmp_path)

    found = [one.account for one in credentials.of(request(catalog=CATALOG))]

    assert found == [None, first]
    assert [one.account for one in credentials.of(request(None))] == [first]


def test_an_account_without_an_address_of_keystone_is_refused(tmp_path: Any) -> None:
    text = "[key_manager]\nauth_type = keystone_password\nusername = h\npassword = p-a-s-s"

    with pytest.raises(KeyManagerError, match=r"\[key_manager\] auth_url is not set") as caught:
        list(configured(text, tmp_path).of(request(None)))

    assert "p-a-s-s" not in str(caught.value)


def test_a_service_token_needs_its_account(tmp_path: Any) -> None:
    wanted = "[barbican]\nsend_service_user_token = true\nbarbican_endpoint = http://b\n"

    with pytest.raises(KeyManagerError, match=r"set \[barbican_service_user\] auth_type"):
        list(configured(wanted, tmp_path).of(request()))
    both = configured(f"{wanted}[barbican_service_user]\n{KEYSTONE}", tmp_path)
    assert [one.account for one in both.of(request())] == [None, "barbican_service_user"]
