# SPDX-License-Identifier: Apache-2.0
"""Lines of ``debug = true``: tasks, calls of drivers and messages, without their values."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from drivers.interface.records import Record
from worker.call_log import ShownMessage, arguments, logged_call
from worker.execution.concurrency import Limiter, blocking


class Driver:
    """A driver of a test."""

    def create_volume(self, volume: Record, *, size: int = 0) -> None:
        if size < 0:
            raise ValueError("too small")


VOLUME = Record("volume", {"id": "v1", "provider_auth": "CHAP u hunter2"})


def test_a_call_of_a_driver_has_a_line_at_its_begin_and_at_its_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    driver = blocking(Driver(), Limiter())
    driver.create_volume(VOLUME, size=1)
    with pytest.raises(ValueError, match="too small"):
        driver.create_volume(VOLUME, size=-1)

    begin, end, again, failed = caplog.messages
    assert begin == "Driver.create_volume(volume v1, size=1) begins"
    assert end.startswith("Driver.create_volume returned after 0.0")
    assert again == "Driver.create_volume(volume v1, size=-1) begins"
    assert failed.endswith(" s: ValueError: too small")


def test_without_debug_no_line_is_written(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with logged_call(object(), "x"):
        pass

    assert caplog.messages == []


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("text", "'text'"),
        ("x" * 200, "'" + "x" * 80 + "…'"),
        (True, "True"),
        (VOLUME, "volume v1"),
        ({"auth_password": "hunter2", "host": "h"}, "{auth_password, host}"),
        (
            {"versioned_object.name": "Volume", "versioned_object.data": {"id": "v1", "x": "y"}},
            "Volume v1",
        ),
        (["hunter2"], "list of 1"),
        (ValueError("hunter2"), "ValueError"),
    ],
)
def test_an_argument_is_shown_in_short(value: Any, shown: str) -> None:
    assert arguments((value,), {}) == shown


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ({"method": "extend", "args": {"id": "v1", "size": 2}}, "extend(id='v1', size=2)"),
        ({"method": ["x"], "args": "y"}, "list of 1()"),
        ({"method": "m", "args": {str(n): n for n in range(99)}}, None),
    ],
)
def test_a_message_is_shown_with_its_arguments(message: Any, shown: str | None) -> None:
    text = str(ShownMessage(message))

    assert len(text) < 1000
    assert shown is None or text == shown
