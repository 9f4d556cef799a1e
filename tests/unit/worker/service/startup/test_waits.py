# SPDX-License-Identifier: Apache-2.0
"""The systems that a start waits for."""

from __future__ import annotations

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
