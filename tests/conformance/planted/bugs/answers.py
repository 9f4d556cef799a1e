# SPDX-License-Identifier: Apache-2.0
"""Answers that no row can take."""

from __future__ import annotations

from ..bug import Table

_METHODS = {
    "create_volume": ("volume", "test_volumes"),
    "create_cloned_volume": ("volume", "test_volumes"),
    "create_snapshot": ("snapshot", "test_snapshots"),
    "create_volume_from_snapshot": ("volume", "test_snapshots"),
    "manage_existing": ("volume", "test_manage"),
    "manage_existing_snapshot": ("snapshot", "test_manage"),
    "create_export": ("volume", "test_connections"),
}

_RUBBISH = {
    "an unknown column": "{'lun': '7'}",
    "a status": "{'status': 'available'}",
    "another row's id": "{'id': 'another'}",
    "a number for text": "{'provider_location': 7}",
    "text": "'done'",
    "a pair": "(None, {})",
    "the record": "RECORD",
    "a size": "{'size': 5}",
    "metadata that is text": "{'metadata': 'a=b'}",
    "metadata of numbers": "{'metadata': {'a': 1}}",
    "a host": "{'host': 'elsewhere'}",
    "True": "True",
}

BUGS = tuple(
    Table("vault", subject).after(
        f"{method} returns {name}", method, f"answer = {value}".replace("RECORD", record)
    )
    for number, (method, (record, subject)) in enumerate(_METHODS.items())
    for index, (name, value) in enumerate(_RUBBISH.items())
    if (number + index) % 3 == 0
)
