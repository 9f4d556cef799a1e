# SPDX-License-Identifier: Apache-2.0
"""Values as a person reads them."""

from __future__ import annotations

import pytest

from worker.page import shown_values


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, ""),
        (0, "0 s"),
        (0.012, "12 ms"),
        (4.24, "4.2 s"),
        (59, "59 s"),
        (65, "1 min 5 s"),
        (3599, "59 min"),
        (7500, "2 h 5 min"),
        (90000, "1 d 1 h"),
    ],
)
def test_durations_have_two_units(seconds: float | None, text: str) -> None:
    assert shown_values.duration(seconds) == text


@pytest.mark.parametrize(
    ("state", "meaning", "mark"),
    [
        ("SUCCESS", "good", "✓"),
        ("RUNNING 37%", "running", "▶"),
        ("NOT UNDONE", "bad", "✗"),
        ("REVERTED", "undone", "↩"),
        ("SUSPENDED", "undone", "‖"),
        ("PENDING", "faint", "…"),
        ("error_deleting", "bad", "✗"),
        ("backing-up", "faint", "…"),
        ("creating", "running", "▶"),
        ("available", "good", "✓"),
    ],
)
def test_a_state_has_a_mark_beside_its_colour(state: str, meaning: str, mark: str) -> None:
    assert (shown_values.meaning(state), shown_values.mark(state)) == (meaning, mark)
