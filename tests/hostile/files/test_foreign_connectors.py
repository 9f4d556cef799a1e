# SPDX-License-Identifier: Apache-2.0
"""Connectors of other hosts, for which the path of a file means another file."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from drivers.interface.errors import InvalidConnectorException, VolumeBackendAPIException
from drivers.volume.local import LocalDriver
from tests.conformance.backend import Backend

FOREIGN: list[dict[str, Any]] = [
    {},
    {"host": None},
    {"host": ""},
    {"host": [socket.gethostname()]},
    {"host": "elsewhere"},
    {"host": f"{socket.gethostname()}.example.org"},
    {"host": f"{socket.gethostname()}@conformance"},
    {"host": "elsewhere", "do_local_attach": True},
    {"host": f"{socket.gethostname()} "},
]


def backend(tmp_path: Path, **options: str) -> Backend:
    return Backend(LocalDriver, {"local_path": str(tmp_path / "volumes"), **options})


@pytest.mark.parametrize("connector", FOREIGN)
def test_another_host_gets_no_path(tmp_path: Path, connector: dict[str, Any]) -> None:
    made = backend(tmp_path)
    volume = made.created()
    with pytest.raises(InvalidConnectorException, match="local_path_shared"):
        made.driver.validate_connector(connector)
    with pytest.raises(VolumeBackendAPIException, match="local_path_shared"):
        made.driver.initialize_connection(volume, connector)


@pytest.mark.parametrize("connector", FOREIGN)
def test_one_that_sees_the_directory_gets_it(tmp_path: Path, connector: dict[str, Any]) -> None:
    made = backend(tmp_path, local_path_shared="true")
    volume = made.created()
    made.driver.validate_connector(connector)
    info = made.driver.initialize_connection(volume, connector)

    assert info["data"]["device_path"] == str(tmp_path / "volumes" / volume.name)


@pytest.mark.parametrize("name", [socket.gethostname(), "node"])
def test_this_host_gets_it_under_both_of_its_names(tmp_path: Path, name: str) -> None:
    made = backend(tmp_path)
    made.driver.host = "node@conformance"
    made.driver.validate_connector({"host": name})

    assert made.driver.initialize_connection(made.created(), {"host": name})
