# SPDX-License-Identifier: Apache-2.0
"""A cloud whose backend takes its time, served by as many processes as a test wants."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.functional.cloud import BACKEND, Cloud
from tests.functional.service import Service

Clouds = Callable[..., Cloud]


@pytest.fixture
def make_cloud(
    volume_service: Callable[..., Service], rabbit_url: str, tmp_path: Path
) -> Iterator[Clouds]:
    """A function from processes, seconds per call and options of [DEFAULT] to a cloud."""
    made: list[Cloud] = []

    def make(processes: int = 1, takes: float = 0.0, **options: Any) -> Cloud:
        backend = {
            "volume_driver": "tests.faults.processes.timed.TimedDriver",
            "processes": processes,
            "takes": takes,
        }
        database = f"sqlite:///{tmp_path / 'cinder.sqlite'}"
        sections = {BACKEND: backend, "DEFAULT": options}
        made.append(Cloud(volume_service, rabbit_url, database, tmp_path, **sections))
        return made[-1]

    yield make
    for cloud in made:
        cloud.close()
