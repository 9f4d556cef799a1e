# SPDX-License-Identifier: Apache-2.0
"""Connectors: descriptions of the hosts that connect volumes and snapshots."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drivers.interface.errors import InvalidConnectorException
from drivers.interface.records import Record
from flows.driver_calls import driver_contract
from flows.errors import InvalidInput


def check(driver: Any, resource: Record, connector: Any) -> None:
    """Refuse a connector that is malformed, or that the driver does not take.

    :raises InvalidInput: it lacks something.
    """
    who = f"{resource.kind} {resource.id}"
    if not isinstance(connector, Mapping):
        raise InvalidInput(f"{who}: the connector is no mapping")
    initiator = connector.get("initiator")
    if not isinstance(initiator, str | None):
        kind = type(initiator).__name__
        raise InvalidInput(f"{who}: the connector's initiator is a {kind}, not text")
    try:
        driver.validate_connector(connector)
    except InvalidConnectorException as error:
        raise InvalidInput(f"{who}: {driver_contract.masked(error)}") from error
    except Exception as error:
        call = "validate_connector"
        raise driver_contract.backend_error(call, resource.id, error, resource.kind) from error


def enforce_multipath(connector: Mapping[str, Any]) -> Any:
    """Return whether the host wants several paths or an error, as its connector has it."""
    return connector.get("enforce_multipath", False)
