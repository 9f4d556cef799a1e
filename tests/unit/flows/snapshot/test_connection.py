# SPDX-License-Identifier: Apache-2.0
"""Connections to snapshots: spec/volume-rpc, initialize_connection_snapshot."""

from __future__ import annotations

from typing import Any

import pytest

from drivers.interface.errors import InvalidConnectorException, VolumeBackendAPIException
from flows import errors
from flows.snapshot import connection
from tests.unit.flows.world.world import World

CONNECTOR = {"initiator": "iqn.1", "host": "node"}
INFO = {"driver_volume_type": "local", "data": {"device_path": "/dev/x"}}


@pytest.fixture
def ready(world: World) -> World:
    world.add_volume(status="backing-up")
    world.add_snapshot(status="backing-up")
    calls = world.driver.calls

    def played(name: str, answer: Any = None) -> Any:
        return lambda *_args, **_more: calls.append((name, {})) or answer

    for name in ("create_export_snapshot", "remove_export_snapshot"):
        setattr(world.driver, name, played(name))
    world.driver.initialize_connection_snapshot = played("initialize_connection_snapshot", INFO)
    return world


def initialize(world: World, connector: Any = CONNECTOR) -> Any:
    return world.call(connection.initialize, snapshot_id="s1", connector=connector)


@pytest.mark.parametrize(
    ("connector", "multipath"),
    [(CONNECTOR, False), ({**CONNECTOR, "enforce_multipath": True}, True)],
)
def test_the_answer_has_the_connectors_multipath(
    ready: World, connector: Any, multipath: bool
) -> None:
    answer = initialize(ready, connector)

    assert answer["data"] == {"device_path": "/dev/x", "enforce_multipath": multipath}
    assert [name for name, _ in ready.driver.calls] == [
        *("validate_connector", "create_export_snapshot", "initialize_connection_snapshot")
    ]


@pytest.mark.parametrize(
    ("plan", "connector", "raised"),
    [
        (InvalidConnectorException("no initiator"), CONNECTOR, errors.InvalidInput),
        (RuntimeError("down"), CONNECTOR, VolumeBackendAPIException),
        (None, "iqn.1", errors.InvalidInput),
        (None, {"initiator": 7}, errors.InvalidInput),
    ],
)
def test_a_refused_connector_changes_nothing(
    ready: World, plan: Any, connector: Any, raised: type[Exception]
) -> None:
    ready.driver.plan["validate_connector"] = plan

    with pytest.raises(raised, match="snapshot s1"):
        initialize(ready, connector)

    assert {name for name, _ in ready.driver.calls} <= {"validate_connector"}
