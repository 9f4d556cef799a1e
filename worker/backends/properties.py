# SPDX-License-Identifier: Apache-2.0
"""Extra specs that a backend understands, as ``get_capabilities`` describes them.

The four of Cinder's scheduler hold for every backend; a driver may add its own, under a prefix.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from drivers.interface.optional import OptionalMethods
from worker.backends.reports.report_values import ReportValues, Unusable

_Log = Callable[[str, str], None]


def _flag(title: str, description: str) -> dict[str, str]:
    return {"title": title, "description": description, "type": "boolean"}


STANDARD: Mapping[str, Mapping[str, str]] = {
    "thin_provisioning": _flag("Thin Provisioning", "Space is taken when it is written."),
    "compression": _flag("Compression", "Data is compressed."),
    "qos": _flag("QoS", "The quality of service is limited or guaranteed."),
    "replication_enabled": _flag("Replication", "Data is replicated to another backend."),
}


def of(driver: OptionalMethods, log: _Log) -> dict[str, Any]:
    """Have a driver prepare its properties; return ``properties`` and perhaps ``vendor_prefix``.

    :param log: called with a property that is left out, and the reason.
    :raises Exception: of the driver.
    """
    driver.init_capabilities()
    found = driver.capabilities
    if not isinstance(found, Mapping):
        log("capabilities", "are no dict; they are left out")
        return {"properties": dict(STANDARD)}
    prefix = found.get("vendor_prefix")
    own = _plain(found.get("properties"), log)
    properties = {**STANDARD, **{name: own[name] for name in STANDARD if name in own}}
    for name, description in own.items():
        if isinstance(prefix, str) and prefix and name.startswith(f"{prefix}:"):
            properties[name] = description
        elif name not in STANDARD:
            log(f"properties.{name}", f"does not begin with the prefix {prefix!r}; it is left out")
    named = {"vendor_prefix": prefix} if isinstance(prefix, str) and prefix else {}
    return {"properties": properties, **named}


def _plain(properties: Any, log: _Log) -> dict[str, Any]:
    """Return the properties without those that JSON cannot carry."""
    if not isinstance(properties, Mapping):
        return {}
    try:
        plain: dict[str, Any] = ReportValues(log).plain(properties, "properties")
    except Unusable as error:
        log("properties", f"{error}; they are left out")
        return {}
    return {name: value for name, value in plain.items() if isinstance(value, Mapping)}
