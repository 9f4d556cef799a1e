# SPDX-License-Identifier: Apache-2.0
"""Backups in the accounts of users in Swift: the account of a request, and its token."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import swiftclient
from oslo_config import cfg
from swiftclient.client import http_log

from drivers import keystone
from drivers.backup.stores import swift_account, swift_connection
from drivers.backup.swift import SwiftDriver
from drivers.interface.errors import BackupDriverException
from drivers.interface.records import Record
from tests.backups import settings
from tests.unit.drivers.backup.stores.test_store_options import Swift
from worker.rpc.request_context import RequestContext

TOKEN = "a-token-of-alice"
URL = "https://s.example.org/v1/AUTH_"
BACKUP = Record("backup", {"id": "b1", "project_id": "p1", "container": None, "volume_id": "v1"})
CATALOG = [
    {"type": "compute", "name": "nova", "endpoints": [{"publicURL": "https://n/p1"}]},
    {
        "type": "object-store",
        "name": "of-any-name",
        "endpoints": [
            {"region": "one", "publicURL": "https://one/v1/AUTH_p1", "adminURL": "https://a/v1"},
            {"region": "two", "publicURL": "https://two/v1/AUTH_p1"},
        ],
    },
    {"type": "object-store", "endpoints": [{"publicURL": "https://second/v1/AUTH_p1"}]},
]


def request_of(**changes: Any) -> RequestContext:
    wire = {"user_id": "alice", "project_id": "p1", "auth_token": TOKEN}
    return RequestContext.from_wire({**wire, "service_catalog": CATALOG, **changes})


def driver_with(root: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> SwiftDriver:
    monkeypatch.setattr(swift_connection, "Connection", Swift)
    return SwiftDriver(settings(root, SwiftDriver, **options))


def url_of(root: Path, request: Any, backup: Record = BACKUP, **options: Any) -> str:
    configuration = settings(root, SwiftDriver, **options)
    return swift_account.account_of(configuration, request, backup).url


@pytest.mark.parametrize(
    ("options", "url"),
    [
        ({"backup_swift_url": URL}, f"{URL}p1"),
        ({}, "https://one/v1/AUTH_p1"),
        ({"backup_swift_region_name": "two"}, "https://two/v1/AUTH_p1"),
        ({"backup_swift_region_name": "three"}, "https://one/v1/AUTH_p1"),
        ({"swift_catalog_info": "object-store:swift:adminURL"}, "https://a/v1"),
        ({"swift_catalog_info": "compute:x:publicURL"}, "https://n/p1"),
    ],
)
def test_the_address_is_the_options_or_the_catalogues(
    tmp_path: Path, options: dict[str, Any], url: str
) -> None:
    assert url_of(tmp_path, request_of(), **options) == url


@pytest.mark.parametrize("options", [{"backup_swift_url": URL}, {}])
def test_the_account_is_that_of_the_backups_project(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    other = BACKUP.replace(project_id="p2")

    assert url_of(tmp_path, request_of(), other, **options).endswith("/v1/AUTH_p2")


def test_a_catalogue_that_does_not_name_the_project_is_of_no_other(tmp_path: Path) -> None:
    request = request_of(project_id="p9")

    with pytest.raises(BackupDriverException, match="of project p1, the request of project p9"):
        url_of(tmp_path, request)


@pytest.mark.parametrize(
    ("wire", "options", "reason"),
    [
        ({"auth_token": None}, {}, "no token of a user"),
        ({"auth_token": ""}, {"backup_swift_url": URL}, "no token of a user"),
        ({"service_catalog": None}, {}, "set backup_swift_url, or swift_catalog_info"),
        (
            {"service_catalog": [7, {"type": "object-store", "endpoints": 7}]},
            {},
            "set backup_swift",
        ),
        ({}, {"swift_catalog_info": "object-store"}, "is not type:name:endpoint"),
        ({}, {"swift_catalog_info": "object-store:swift:otherURL"}, "has no otherURL"),
        ({}, {"backup_swift_url": "file:///etc/"}, "no address of Swift"),
        (
            {"service_catalog": [{"type": "object-store", "endpoints": [{"publicURL": "x"}]}]},
            {},
            "no address of Swift",
        ),
    ],
)
def test_a_request_that_leads_to_no_account_is_refused_with_the_reason(
    tmp_path: Path, wire: dict[str, Any], options: dict[str, Any], reason: str
) -> None:
    with pytest.raises(BackupDriverException, match=reason) as caught:
        url_of(tmp_path, request_of(**wire), **options)

    assert TOKEN not in str(caught.value)


def test_a_request_that_was_stored_has_no_token(tmp_path: Path) -> None:
    stored = request_of().to_journal()

    assert TOKEN not in str(stored) and "s.example.org" not in str(stored)
    with pytest.raises(BackupDriverException, match="tokens are not stored"):
        url_of(tmp_path, RequestContext.from_journal(stored), backup_swift_url=URL)


def test_connections_of_a_request_have_its_account(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = driver_with(tmp_path, monkeypatch, backup_create_containers=True)
    made = driver.for_request(request_of(), BACKUP)
    with made._store._connected() as connection:
        how = connection.how

    assert how["account"] == ("https://one/v1/AUTH_p1", TOKEN)
    assert not {"user", "key", "authurl"} & how.keys()
    assert TOKEN not in repr(vars(made._store))
    assert made._limits is driver._limits


def test_without_a_request_nothing_is_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = driver_with(tmp_path, monkeypatch)

    with pytest.raises(BackupDriverException, match="known from a request only"):
        driver._store.prepare("c")
    with pytest.raises(NotImplementedError, match="accounts of users"):
        driver.verify(BACKUP)
    with pytest.raises(NotImplementedError, match="accounts of users"):
        driver.list_backups([])


def test_the_account_of_the_options_serves_all_requests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"backup_swift_auth": "single_user", "backup_swift_auth_url": "http://k/v3"}
    driver = driver_with(tmp_path, monkeypatch, **options, backup_swift_user="u")

    assert driver.for_request(request_of(auth_token=None), BACKUP) is driver
    assert driver.limits(driver.configuration) is None


@pytest.mark.parametrize("url", [None, URL])
def test_the_check_asks_swift_where_its_address_is_known(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    url: str | None,
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(Swift, "get_capabilities", lambda _, url: asked.append(url), raising=False)
    driver = driver_with(tmp_path, monkeypatch, backup_swift_url=url)
    driver.check_for_setup_error()

    assert asked == ([url] if url else [])
    assert ("backup_swift_url is not set" in caplog.text) == (url is None)


def test_a_swift_that_does_not_answer_is_not_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Any, url: str) -> None:
        raise ConnectionError("refused")

    monkeypatch.setattr(Swift, "get_capabilities", fail, raising=False)
    driver = driver_with(tmp_path, monkeypatch, backup_swift_url=URL)

    with pytest.raises(BackupDriverException, match="cannot ask https://s.example.org"):
        driver.check_for_setup_error()


@pytest.mark.parametrize(
    ("service_auth", "send", "wanted"),
    [(False, True, None), (True, False, None), (True, True, "a-token-of-the-service")],
)
def test_the_token_of_the_service_goes_with_the_users_where_both_options_say_so(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    service_auth: bool,
    send: bool,
    wanted: str | None,
) -> None:
    conf = cfg.ConfigOpts()
    conf([])
    conf.register_opt(swift_account._SEND, group="service_user")
    conf.set_override("send_service_user_token", send, group="service_user")
    session = SimpleNamespace(get_token=lambda: "a-token-of-the-service")
    monkeypatch.setattr(keystone, "account", lambda conf, sections: sections[0])
    monkeypatch.setattr(keystone, "session", lambda conf, section: session)
    options = {"backup_swift_service_auth": service_auth, "conf": conf}
    driver = driver_with(tmp_path, monkeypatch, **options)

    with driver.for_request(request_of(), BACKUP)._store._connected() as connection:
        assert connection.service_token == wanted


def test_a_missing_account_of_the_service_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conf = cfg.ConfigOpts()
    conf([])
    conf.register_opt(swift_account._SEND, group="service_user")
    conf.set_override("send_service_user_token", True, group="service_user")
    driver = driver_with(tmp_path, monkeypatch, backup_swift_service_auth=True, conf=conf)

    with pytest.raises(BackupDriverException, match=r"set \[service_user\]"):
        driver.check_for_setup_error()


def test_a_token_that_has_expired_is_named_as_the_cause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Any, container: str) -> None:
        raise swiftclient.ClientException("Container HEAD failed", http_status=401)

    driver = driver_with(tmp_path, monkeypatch)
    monkeypatch.setattr(Swift, "head_container", refuse)

    with pytest.raises(BackupDriverException, match="which may have expired") as caught:
        driver.for_request(request_of(), BACKUP)._store.prepare("c")
    assert TOKEN not in str(caught.value)


def test_a_connection_with_a_refused_token_does_not_log_in() -> None:
    connection = swift_connection.Connection(account=(f"{URL}p1", TOKEN), timeout=1.0)
    assert (connection.url, connection.token) == (f"{URL}p1", TOKEN)

    with pytest.raises(swiftclient.ClientException, match="was refused"):
        connection.get_auth()


def test_the_library_logs_no_part_of_a_token(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    answer = SimpleNamespace(status=200, reason="OK", getheaders=list)
    headers = {"X-Auth-Token": TOKEN * 9, "X-Service-Token": TOKEN * 9}
    http_log((URL, "GET"), {"headers": headers}, answer, b"")

    assert "REQ: curl" in caplog.text
    assert TOKEN[:4] not in caplog.text
