# SPDX-License-Identifier: Apache-2.0
"""holdfast message: rejected messages are listed, shown, retried once and dropped."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tests.servers import until
from tests.unit.cli.conftest import Shell
from worker.journal.entries.insertions import flow_id
from worker.journal.journal import Journal
from worker.rpc import objects
from worker.service.start_stop import Service

SLOT = "cli@local/0"


@pytest.fixture
def rejected(journal: Journal) -> Any:
    """A function that keeps a message which the service would accept now."""

    def keep(method: str, slot: str = SLOT, **args: Any) -> str:
        unique_id = uuid.uuid4().hex
        message = {"method": method, "version": "3.0", "args": args}
        contents = {"message": message, "request": {"project_id": "p1", "is_admin": True}}
        text = f"UnknownMethod: unknown method {method}"
        journal.rejected.add(unique_id, method, text, contents, request_id="req-1", slot=slot)
        return flow_id(unique_id)

    return keep


def test_a_message_is_listed_and_shown_without_secrets(holdfast: Shell, rejected: Any) -> None:
    message = rejected("new_method", connector={"auth_password": "hidden", "host": "h1"})
    ran = holdfast("message", "list", "-f", "json")
    listed = next(one for one in ran.rows if one["message"] == message)
    shown = holdfast("message", "show", message[:12])

    assert ran.status == 0 and listed["can_retry"] is True and listed["slot"] == SLOT
    assert listed["reason"] == "UnknownMethod: unknown method new_method"
    assert shown.status == 0 and "hidden" not in shown.out
    assert shown.rows["message"] == message
    assert shown.rows["contents"]["args"]["connector"]["host"] == "h1"


@pytest.mark.parametrize("verb", ["show", "retry", "drop"])
def test_an_unknown_message_is_an_error(holdfast: Shell, journal: Journal, verb: str) -> None:
    ran = holdfast("message", verb, "0000")

    assert ran.status == 1 and "message 0000 does not exist" in ran.errors[0]


def test_a_message_is_dropped_and_the_dry_run_drops_none(holdfast: Shell, rejected: Any) -> None:
    message = rejected("new_method")
    planned = holdfast("message", "drop", message, "--dry-run", "-f", "json")
    dropped = holdfast("message", "drop", message, "-f", "json")

    assert (planned.status, planned.rows[0]["outcome"]) == (0, "planned")
    assert (dropped.status, dropped.rows[0]["outcome"]) == (0, "dropped")
    assert holdfast("message", "drop", message).status == 1


def test_one_that_a_process_would_reject_again_is_refused(
    holdfast: Shell, service: Service, rejected: Any
) -> None:
    message = rejected("new_method")
    ran = holdfast("message", "retry", message, "-f", "json")

    assert (ran.status, ran.rows[0]["outcome"]) == (1, "refused")
    assert "rejected again" in ran.rows[0]["reason"]


def test_one_is_retried_once(holdfast: Shell, service: Service, rejected: Any) -> None:
    volume = holdfast.records.volumes.create(
        size=1, status="creating", host="cli@local#local", project_id="p1"
    )
    message = rejected("create_volume", volume=objects.volume(volume))
    planned = holdfast("message", "retry", message, "--dry-run", "-f", "json")
    assert (planned.status, planned.rows[0]["outcome"]) == (0, "planned")
    assert holdfast.records.volumes.get(volume.id).status == "creating"
    ran = holdfast("message", "retry", message, "-f", "json")
    assert (ran.status, ran.rows[0]["outcome"]) == (0, "accepted")

    def status() -> str:
        return str(holdfast.records.volumes.get(volume.id).status)

    until(lambda: status() == "available", 30, "the creation")
    again = holdfast("message", "retry", message)
    assert again.status == 1 and f"holdfast flow show {message}" in again.errors[0]
    assert holdfast("flow", "show", message, "-f", "json").rows["method"] == "create_volume"


def test_one_of_an_older_version_says_so(holdfast: Shell, rejected: Any) -> None:
    ran = holdfast("message", "retry", rejected("create_volume", slot=""))

    assert ran.status == 1 and "older version" in ran.errors[0]
