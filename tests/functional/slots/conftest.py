# SPDX-License-Identifier: Apache-2.0
"""Hosts that share a journal on each kind of server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.functional.service import Service
from tests.functional.slots.hosts import Hosts


@pytest.fixture(params=["mysql", "postgresql"])
def hosts(
    request: pytest.FixtureRequest,
    volume_service: Callable[..., Service],
    rabbit_url: str,
    new_database: Callable[[str], str],
    tmp_path: Path,
) -> Iterator[Hosts]:
    """Hosts without a start."""
    made = Hosts(volume_service, rabbit_url, new_database(request.param), tmp_path)
    yield made
    made.close()
