# SPDX-License-Identifier: Apache-2.0
"""Memory that an attack takes in this process, as Python allocates it."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def traced() -> Iterator[Callable[[], int]]:
    """Return a function that returns the most bytes that the block has held at once so far."""
    tracemalloc.start()
    try:
        yield lambda: tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def refused(call: Callable[[], object], error: type[Exception], most: int) -> str:
    """Require an error of a call in little memory, and return its text, which is short.

    :param most: bytes.
    """
    with traced() as peak:
        with pytest.raises(error) as caught:
            call()
        assert peak() < most
    assert len(str(caught.value)) < 2000
    return str(caught.value)
