# SPDX-License-Identifier: Apache-2.0
"""The last test of a module leaves no thread, whatever its fixtures are."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest


@pytest.fixture
def pool() -> ThreadPoolExecutor:
    """Threads that end with the last reference to their pool."""
    made = ThreadPoolExecutor(1, "of a fixture")
    made.submit(int).result()
    return made


def test_a_fixture_ends_before_the_threads_of_the_module_are_counted(
    pool: ThreadPoolExecutor,
) -> None:
    """The module's own check fails otherwise, after its test."""
    assert pool.submit(int).result() == 0
