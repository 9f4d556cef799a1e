# SPDX-License-Identifier: Apache-2.0
"""The state of a thread that Cinder's code leaves behind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from oslo_context import context

from drivers.compat.oslo_context import bind


@pytest.fixture(autouse=True)
def _own_request() -> Iterator[None]:
    """Bind the request of the thread again that was bound before: each of Cinder's binds itself."""
    before = context.get_current()
    yield
    bind(before)
