# SPDX-License-Identifier: Apache-2.0
"""A test that sets the level of the log, or adds a handler, leaves none to the next one."""

from __future__ import annotations

import logging

import pytest

LEVELS: list[int] = []
HANDLERS: list[logging.Handler] = []


@pytest.mark.parametrize("turn", ["first", "second"])
def test_the_level_is_as_it_was(turn: str) -> None:
    LEVELS.append(logging.getLogger().level)
    logging.getLogger().setLevel(logging.DEBUG)

    assert LEVELS[0] == LEVELS[-1] != logging.DEBUG


@pytest.mark.parametrize("turn", ["first", "second"])
def test_the_handlers_are_as_they_were(turn: str) -> None:
    assert not set(HANDLERS).intersection(logging.getLogger().handlers)

    HANDLERS.append(logging.StreamHandler())
    logging.getLogger().addHandler(HANDLERS[-1])
