# SPDX-License-Identifier: Apache-2.0
"""accept_transfer over the bus (spec/volume-rpc, accept_transfer)."""

from __future__ import annotations

from typing import Any

import pytest

from drivers.interface.records import Record
from tests.functional.cloud import PROJECT, Cloud

NEW = {"new_user": "e" * 32, "new_project": "f" * 32}


@pytest.fixture
def volume(cloud: Cloud) -> Record:
    return cloud.existing("awaiting-transfer")


def ask(cloud: Cloud, volume: Record, **more: Any) -> Any:
    return cloud.call("accept_transfer", "3.16", volume_id=volume.id, **NEW, **more)


@pytest.mark.parametrize("more", [{}, {"no_snapshots": True}])
def test_the_driver_is_told_and_has_nothing_to_say(
    cloud: Cloud, volume: Record, more: dict[str, Any]
) -> None:
    assert ask(cloud, volume, **more) is None
    (call,) = [c for c in cloud.script.calls("accept_transfer") if c["id"] == volume.id]

    assert (call["user"], call["project"]) == (NEW["new_user"], NEW["new_project"])
    stored = cloud.records.volumes.get(volume.id)
    assert (stored.project_id, stored.status) == (PROJECT, "awaiting-transfer")


def test_what_the_driver_says_is_stored_and_answered(cloud: Cloud, volume: Record) -> None:
    cloud.script.plan(accept_transfer={"return": {"provider_auth": "CHAP a b"}})

    assert ask(cloud, volume) == {"provider_auth": "CHAP a b"}
    assert cloud.records.volumes.get(volume.id).provider_auth == "CHAP a b"


@pytest.mark.parametrize("answer", [7, {"nothing": 1}, {"provider_auth": "x" * 300}])
def test_what_cannot_be_stored_ends_in_error(cloud: Cloud, volume: Record, answer: Any) -> None:
    cloud.script.plan(accept_transfer={"return": answer})
    failed, text = cloud.failure("accept_transfer", "3.16", volume_id=volume.id, **NEW)

    assert volume.id in text, failed
    assert cloud.status(volume) == "error"


def test_a_driver_that_fails_leaves_everything(cloud: Cloud, volume: Record) -> None:
    cloud.script.plan(accept_transfer={"raise": "VolumeDriverException", "text": "no"})
    failed, text = cloud.failure("accept_transfer", "3.16", volume_id=volume.id, **NEW)

    assert (failed, "no" in text) == ("VolumeBackendAPIException", True)
    assert cloud.status(volume) == "awaiting-transfer"


def test_a_volume_that_is_gone(cloud: Cloud, volume: Record) -> None:
    cloud.records.volumes.destroy(volume.id)

    assert cloud.failure("accept_transfer", "3.16", volume_id=volume.id, **NEW)[0] == (
        "VolumeNotFound"
    )
