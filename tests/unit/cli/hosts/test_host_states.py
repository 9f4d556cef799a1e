# SPDX-License-Identifier: Apache-2.0
"""holdfast host freeze, thaw and failover: rows as the API writes them, exit statuses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.unit.cli.conftest import Ran, Shell
from worker.cli.hosts import backend_requests
from worker.service.start_stop import Service

HOST = "cli@local"


def ask(holdfast: Shell, *words: str) -> tuple[int, str, Any]:
    """Return the exit status, the outcome and the row of a command."""
    ran: Ran = holdfast("host", *words, "-f", "json")
    (row,) = ran.rows
    return ran.status, row["outcome"], row


@pytest.fixture
def up(holdfast: Shell, service: Service) -> Iterator[None]:
    """A service that is up, and whose row is as before afterwards."""
    (row,) = holdfast.records.services.list(binary="cinder-volume")
    yield
    names = ("frozen", "disabled", "disabled_reason", "replication_status")
    holdfast.records.services.update(row.id, **{name: row[name] for name in names})


@pytest.mark.usefixtures("up")
def test_a_backend_is_frozen_and_thawed_once_each(holdfast: Shell) -> None:
    assert ask(holdfast, "freeze", HOST, "--dry-run")[:2] == (0, "planned")
    assert not holdfast.records.services.list(binary="cinder-volume")[0].frozen
    status, outcome, row = ask(holdfast, "freeze", HOST)
    assert (status, outcome, row["frozen"], row["disabled"]) == (0, "frozen", True, True)
    assert ask(holdfast, "freeze", HOST)[:2] == (1, "refused")
    status, outcome, row = ask(holdfast, "thaw", HOST)
    assert (status, outcome, row["frozen"], row["disabled"]) == (0, "thawed", False, False)
    assert ask(holdfast, "thaw", HOST)[:2] == (1, "refused")


@pytest.mark.usefixtures("up")
def test_one_that_its_driver_does_not_thaw_stays_frozen(
    holdfast: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ask(holdfast, "freeze", HOST)[0] == 0
    monkeypatch.setattr(backend_requests, "send", lambda *_: False)
    status, outcome, row = ask(holdfast, "thaw", HOST)

    assert (status, outcome, row["frozen"]) == (1, "refused", True)


@pytest.mark.usefixtures("up")
def test_a_failover_without_a_target_is_refused_and_changes_nothing(holdfast: Shell) -> None:
    assert ask(holdfast, "failover", HOST, "--dry-run")[:2] == (0, "planned")
    (before,) = holdfast.records.services.list(binary="cinder-volume")
    status, outcome, row = ask(holdfast, "failover", HOST, "--to", "elsewhere", "--wait", "30")

    assert status == 1 and outcome in ("failed", "refused")
    assert row["active_backend_id"] == before.active_backend_id


@pytest.mark.usefixtures("up")
def test_one_that_runs_is_not_begun_again(holdfast: Shell) -> None:
    (row,) = holdfast.records.services.list(binary="cinder-volume")
    holdfast.records.services.update(row.id, replication_status="failing-over")

    assert ask(holdfast, "failover", HOST)[:2] == (1, "refused")


@pytest.mark.parametrize("verb", ["freeze", "thaw", "failover"])
def test_an_unknown_backend_is_an_error(holdfast: Shell, verb: str) -> None:
    ran = holdfast("host", verb, "none@such")

    assert ran.status == 1 and "there is no volume service none@such" in ran.errors[0]
