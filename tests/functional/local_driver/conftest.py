# SPDX-License-Identifier: Apache-2.0
"""A service with the local driver and its network block devices."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conformance.places import require_programs
from tests.functional.cloud import Cloud
from tests.functional.local_driver.nbd import servers
from tests.functional.service import Service


@pytest.fixture
def nbd_cloud(
    volume_service: Callable[..., Service], rabbit_url: str, tmp_path: Path
) -> Iterator[Cloud]:
    """A service with the local driver, its volumes served as network block devices."""
    require_programs("qemu-nbd")
    # A short path: a socket's may have 107 bytes.
    with tempfile.TemporaryDirectory(prefix="hfc-", dir="/tmp") as folder:
        backend = {"volume_driver": "local", "local_path": folder, "local_export": "nbd"}
        database = f"sqlite:///{tmp_path / 'cinder.sqlite'}"
        made = Cloud(volume_service, rabbit_url, database, tmp_path, backend)
        made.service.start()
        yield made
        made.close()
        for server in servers(Path(folder)):
            server.end()
