# SPDX-License-Identifier: Apache-2.0
"""Texts and exceptions in a form that every database can store."""

from __future__ import annotations

import pytest

from flows.storable_errors import LONGEST, bounded, storable, text_of, traceback_of


@pytest.mark.parametrize("end", [False, True])
@pytest.mark.parametrize(
    "text", ["x", "é", "☃", "\0", "\ud800", "\U0001f600", "a\0\ud800\U0001f600é"]
)
def test_a_text_of_any_characters_has_at_most_so_many_bytes(text: str, end: bool) -> None:
    kept = bounded(text * 100_000, 255, end=end)

    encoded = kept.encode("utf-8")
    assert 250 <= len(encoded) <= 255
    assert "\0" not in kept
    assert max(kept) <= "\uffff"


def test_a_short_text_stays_as_it_is() -> None:
    assert bounded("no space on ☃", 255) == "no space on ☃"
    assert bounded(None, 255) == ""
    assert bounded("\0\ud800\U0001f600", 255) == r"\x00\ud800\U0001f600"


def test_an_error_whose_text_is_long_is_shown_short() -> None:
    error = ValueError("x" * 1_000_000)

    assert len(text_of(error)) == LONGEST
    assert len(traceback_of(error)) <= 16_000
    kept = storable(error, "a step")
    assert isinstance(kept, ValueError)
    assert len(str(kept)) <= LONGEST
