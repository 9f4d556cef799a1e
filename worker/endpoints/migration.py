# SPDX-License-Identifier: Apache-2.0
"""RPC methods that give volumes another type or another backend (spec/volume-rpc §2)."""

from __future__ import annotations

import dataclasses
from typing import Any

from flows.volume.migration import complete, migrate, retype, update_migrated
from worker.endpoints.arguments import as_list, check_id, id_of, on_volume, volume_lock
from worker.rpc import codec
from worker.rpc.dispatch import exposed
from worker.rpc.operation import Operation
from worker.rpc.request_context import RequestContext


class MigrationEndpoint:
    """Retype and migrate volumes."""

    @exposed("3.5")
    def retype(
        self,
        request: RequestContext,
        volume: Any,
        new_type_id: Any,
        host: Any,
        migration_policy: Any = "never",
        reservations: Any = None,
        old_reservations: Any = None,
    ) -> Operation:
        """Give a volume another type."""
        check_id(new_type_id, "new_type_id")
        operation = on_volume(
            retype.flow,
            volume,
            new_type_id=new_type_id,
            host=dict(codec.raw(host)),
            migration_policy=str(migration_policy),
            reservations=as_list(reservations),
            old_reservations=as_list(old_reservations),
        )
        # It may become a migration, which only its first step finds out.
        return dataclasses.replace(operation, moves_data=True)

    @exposed("3.5")
    def migrate_volume(
        self,
        request: RequestContext,
        volume: Any,
        host: Any,
        force_host_copy: Any = False,
        new_type_id: Any = None,
    ) -> Operation:
        """Move a volume to another backend."""
        if new_type_id is not None:
            check_id(new_type_id, "new_type_id")
        operation = on_volume(
            migrate.flow,
            volume,
            host=dict(codec.raw(host)),
            force_host_copy=bool(force_host_copy),
            new_type_id=new_type_id,
        )
        return dataclasses.replace(operation, moves_data=True)

    @exposed("3.0")
    def migrate_volume_completion(
        self, request: RequestContext, volume: Any, new_volume: Any, error: Any = False
    ) -> Operation:
        """Replace a volume by its copy, or delete the copy; return the volume's id."""
        factory = complete.abandonment if error else complete.completion
        return on_volume(factory, volume, spare_id=id_of(new_volume, "new_volume"))

    @exposed("3.0")
    def update_migrated_volume(
        self, request: RequestContext, volume: Any, new_volume: Any, volume_status: Any
    ) -> Operation:
        """Give a copy the name and location of its volume on this backend."""
        volume_id, spare_id = id_of(volume, "volume"), id_of(new_volume, "new_volume")
        return Operation(
            update_migrated.flow,
            ("volume", spare_id),
            {
                "volume_id": volume_id,
                "spare_id": spare_id,
                "old": _named(volume, update_migrated.OLD),
                "new": _named(new_volume, update_migrated.NEW),
                "volume_status": volume_status,
            },
            # Not the volume's: its own service holds that while it asks for this.
            exclusive=(volume_lock(spare_id),),
        )


def _named(source: Any, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: codec.raw(source[name]) for name in names if name in source}
