# SPDX-License-Identifier: Apache-2.0
"""A local driver in a temporary directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from drivers.volume.files import Directory
from drivers.volume.local import LocalDriver
from tests.conformance.backend import Backend


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where the volumes are."""
    return tmp_path / "volumes"


@pytest.fixture
def files(place: Path) -> Directory:
    return Directory(place)


@pytest.fixture
def backend(place: Path) -> Backend:
    """Makes records, and a driver that hands out files."""
    return Backend(LocalDriver, {"local_path": str(place)})


@pytest.fixture
def driver(backend: Backend) -> LocalDriver:
    return backend.driver
