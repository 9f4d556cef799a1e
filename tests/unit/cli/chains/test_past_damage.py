# SPDX-License-Identifier: Apache-2.0
"""holdfast backup restore --past-damage asks the service before anything changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from oslo_messaging import MessagingTimeout, RemoteError

from tests.unit.cli.chains.conftest import Driver, backup, volume
from tests.unit.cli.conftest import Shell
from worker.rpc.clients.backup import BackupClient

Sent = list[tuple[str, dict[str, Any]]]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    found: Sent = []

    def cast(_self: object, _request: object, _host: str, method: str, **args: Any) -> None:
        found.append((method, args))

    monkeypatch.setattr(BackupClient, "cast", cast)
    return found


def answering(error: Exception | None) -> Callable[..., bool]:
    def call(_self: object, _request: object, _host: str, method: str, **args: Any) -> bool:
        assert (method, args) == ("can_restore_past_damage", {})
        if error is not None:
            raise error
        return True

    return call


def test_it_is_sent_to_a_service_that_can(
    holdfast: Shell, driver: Driver, sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BackupClient, "call", answering(None))
    one, target = backup(holdfast, "v", 1), volume(holdfast)
    ran = holdfast("backup", "restore", one, "--volume", target, "--past-damage")
    assert ran.status == 0, ran.errors
    [(method, args)] = sent
    assert (method, args["past_damage"]) == ("restore_backup", True)


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (RemoteError("NoSuchMethod", "unknown"), "cannot restore past damage (NoSuchMethod)"),
        (MessagingTimeout(), "no answer from cli"),
    ],
)
def test_nothing_changes_for_one_that_cannot(
    holdfast: Shell,
    driver: Driver,
    sent: Sent,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    shown: str,
) -> None:
    """cinder-backup would fail to take the argument, and leave both in ``restoring``."""
    monkeypatch.setattr(BackupClient, "call", answering(error))
    one, target = backup(holdfast, "v", 1), volume(holdfast)
    ran = holdfast("backup", "restore", one, "--volume", target, "--past-damage")
    assert ran.status == 1
    assert shown in " ".join(ran.errors)
    assert sent == []
    assert holdfast.records.backups.get(one).status == "available"
    assert holdfast.records.volumes.get(target).status == "available"
