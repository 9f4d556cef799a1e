# SPDX-License-Identifier: Apache-2.0
"""The private parts of oslo.context are as ``drivers.compat`` uses them."""

from __future__ import annotations

import threading

import pytest
from oslo_context import context

from drivers.compat import oslo_context


@pytest.fixture(autouse=True)
def same_request_afterwards():
    """Leave the thread's request as it was."""
    before = context.get_current()
    yield
    oslo_context.bind(before)


def test_a_bound_request_is_that_of_the_thread() -> None:
    request = context.RequestContext(overwrite=False)
    oslo_context.bind(request)

    assert context.get_current() is request
    others: list[object] = []
    thread = threading.Thread(target=lambda: others.append(context.get_current()))
    thread.start()
    thread.join()
    assert others == [None]


def test_none_unbinds() -> None:
    oslo_context.bind(context.RequestContext(overwrite=False))
    oslo_context.bind(None)

    assert context.get_current() is None
