# SPDX-License-Identifier: Apache-2.0
"""With ``debug = true`` the log shows the tasks of an operation, its driver calls and messages."""

from __future__ import annotations

import logging

import pytest

from tests.unit.cli.conftest import Shell
from worker.service.start_stop import Service


def test_the_log_of_an_operation(
    holdfast: Shell, service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "worker")
    caplog.set_level(logging.DEBUG, "flows")
    host = f"{service.parts.base.identity.host}#local"
    ran = holdfast("cast", "create_volume", "--size", "1", "--host", host, "--wait")
    assert ran.status == 0, ran.errors
    volume = ran.out.split()[1]
    lines = [line for line in caplog.messages if line]

    def place(text: str) -> int:
        return next(number for number, line in enumerate(lines) if text in line)

    order = [
        place(f"sends the cast create_volume(volume=Volume {volume}"),
        place(f"received the cast create_volume(volume=Volume {volume}"),
        place("create_volume: task begin is RUNNING"),
        place(f"LocalDriver.create_volume(volume {volume}) begins"),
        place("LocalDriver.create_volume returned after "),
        place("create_volume: task finish is SUCCESS"),
    ]
    assert order == sorted(order)
