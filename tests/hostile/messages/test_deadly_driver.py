# SPDX-License-Identifier: Apache-2.0
"""A driver that ends its process again and again does not keep its operation, nor the others."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.functional.cloud import BACKEND, Cloud
from tests.functional.service import Service
from tests.servers import until

MAX_RESUMES = 2


@pytest.fixture
def cloud(
    volume_service: Callable[..., Service], rabbit_url: str, tmp_path: Path
) -> Iterator[Cloud]:
    """Two processes, which a supervisor starts again when they die."""
    made = Cloud(
        volume_service,
        rabbit_url,
        f"sqlite:///{tmp_path / 'cinder.sqlite'}",
        tmp_path,
        journal={"max_resumes": MAX_RESUMES},
        **{BACKEND: {"processes": 2}},
    )
    made.service.start()
    yield made
    made.close()


def test_it_is_undone_and_the_others_go_on(cloud: Cloud) -> None:
    cloud.script.plan(extend_volume={"exit": True})
    source = cloud.existing("extending")
    cloud.cast("extend_volume", volume=source, new_size=2, reservations=[])
    others = [cloud.volume() for _ in range(10)]
    for volume in others:
        cloud.cast("create_volume", volume=volume)

    # Each death costs a start, and the supervisor pauses between many of them.
    until(lambda: cloud.status(source) == "error_extending", 90, "an end")
    for volume in others:
        until(lambda: cloud.status(volume) == "available", 60, "the others")  # noqa: B023
    cloud.wait_idle()
    # It is reverted when it was alone, and others may have been interrupted beside it at first.
    calls = len(cloud.script.calls("extend_volume"))
    assert 1 + MAX_RESUMES <= calls <= 1 + MAX_RESUMES + math.ceil(math.log2(1 + len(others)))


def test_where_undoing_ends_the_process_too_the_driver_is_not_asked_any_more(
    cloud: Cloud,
) -> None:
    deadly = {"exit": True}
    cloud.script.plan(create_volume=deadly, delete_volume=deadly)
    volume = cloud.volume()
    cloud.cast("create_volume", volume=volume)

    until(lambda: cloud.status(volume) == "error", 90, "an end")
    cloud.wait_idle()
    entry = cloud.entries()[0]
    assert entry.state == "FAILURE"
    assert "interrupted" in (entry.failure or "")
    assert entry.meta["left"]
