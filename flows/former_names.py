# SPDX-License-Identifier: Apache-2.0
"""Former names of flow factories and error classes, as earlier versions stored them.

A journal stores the factory of each operation as ``module:name``, and a failure with the
full names of its error's classes, from which statuses follow. A change that moves or renames
one of them adds its former name here, so that operations that an earlier version interrupted
resume. Each entry gives the present name in one step: when a module moves twice, both of its
former names point to its present one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MODULES: Mapping[str, str] = {
    "flows.host.abandoned": "flows.host.orphaned",
    "flows.volume.attach": "flows.volume.connections.attach",
    "flows.volume.attachment": "flows.volume.connections.attachment",
    "flows.volume.backup_device": "flows.volume.data.backup_device",
    "flows.volume.complete_migration": "flows.volume.migration.complete",
    "flows.volume.connection": "flows.volume.connections.connection",
    "flows.volume.detach": "flows.volume.connections.detach",
    "flows.volume.migrate": "flows.volume.migration.migrate",
    "flows.volume.retype": "flows.volume.migration.retype",
    "flows.volume.update_migrated": "flows.volume.migration.update_migrated",
}
"""Modules of flow factories: ``flows.volume.old`` to ``flows.volume.new``."""

FACTORIES: Mapping[str, str] = {}
"""Single factories, where the name changed as well: ``flows.old:one`` to ``flows.new:other``.

An entry here takes precedence over one of its module.
"""

ERRORS: Mapping[str, str] = {
    "drivers.backup.store.StoreError": "drivers.backup.stores.object_store.StoreError",
}
"""Error classes: ``flows.errors.Old`` to ``drivers.interface.errors.New``."""


def present_factory(path: str) -> str:
    """Return the present ``module:name`` of a factory that a journal names."""
    if path in FACTORIES:
        return FACTORIES[path]
    module, colon, name = path.partition(":")
    return f"{MODULES.get(module, module)}{colon}{name}"


def present_failure(stored: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return a failure, as taskflow stores it, with the present names of its error's classes."""
    if stored is None:
        return None
    names = [ERRORS.get(name, name) for name in stored["exc_type_names"]]
    causes = [present_failure(cause) for cause in stored.get("causes") or ()]
    return {**stored, "exc_type_names": names, "causes": causes}
