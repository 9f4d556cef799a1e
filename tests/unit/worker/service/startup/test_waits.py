# SPDX-License-Identifier: Apache-2.0
"""The systems that a start waits for."""

from __future__ import annotations

import threading

import pytest

from worker.service.startup import waits
from worker.service.startup.waits import Waits


def test_a_short_wait_is_not_shown() -> None:
    found = Waits()
    with found.on("the database"):
        assert found.shown == ""


def test_a_long_one_is_shown_until_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waits, "SHOWN_AFTER", 0.0)
    found = Waits()
    with found.on("the database"):
        with found.on("the message bus"):
            assert found.shown == "waits for the database and the message bus"
        assert found.shown == "waits for the database"

    assert found.shown == ""


def test_a_system_that_is_watched_is_shown_while_it_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(waits, "SHOWN_AFTER", 0.0)
    found, away = Waits(), threading.Event()
    found.watch("the database", away.is_set)

    assert found.shown == ""
    away.set()
    assert found.shown == "waits for the database"
    with found.on("the database"):
        assert found.shown == "waits for the database"
    away.clear()
    assert found.shown == ""
