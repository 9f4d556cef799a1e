# SPDX-License-Identifier: Apache-2.0
"""Give the copy of a volume its place on this backend.

=======  ============================================  =============================
task     does                                          undone by
=======  ============================================  =============================
update   driver.update_migrated_volume; its columns    (written columns stay:
         go to the volume's row, and its former ones   the caller decides)
         to the copy's
=======  ============================================  =============================

A driver that has no such method leaves the copy its name, and the volume's row points
to it. The former columns of the rows are in the message: on a second try they have it
no more.

Source: spec/volume-rpc, update_migrated_volume; spec/interfaces §8.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from taskflow.patterns import linear_flow

from drivers.interface.records import Record
from flows.claims import Claim
from flows.context import MigrationContext
from flows.driver_calls import driver_contract
from flows.errors import InvalidVolume
from flows.factories import registered
from flows.lifecycle import Step
from flows.statuses import migrating_volume, target_of

OLD = (
    *("_name_id", "provider_location", "provider_id", "provider_auth", "provider_geometry"),
    *("replication_status", "replication_extended_status", "replication_driver_data"),
    *("metadata", "admin_metadata", "encryption_key_id", "shared_targets", "bootable"),
    *("display_name", "display_description", "multiattach"),
)
"""Columns of a volume that a driver may return, and those that the message brings."""

NEW = ("_name_id", "provider_location", "provider_id", "provider_auth", "provider_geometry")


class UpdateMigratedVolume(Step, task="update"):
    """Ask the driver and write both rows. Idempotent: from the same to the same."""

    def claim(self, args: Mapping[str, Any]) -> Claim | None:
        """Claim the copy while it is that of the volume."""
        return Claim(
            "volume",
            str(args["spare_id"]),
            (target_of(str(args["volume_id"])),),
            "migration_status",
            unmarked=True,
        )

    def execute(
        self,
        ctx: MigrationContext,
        volume_id: str,
        spare_id: str,
        old: Mapping[str, Any],
        new: Mapping[str, Any],
        volume_status: str | None,
    ) -> None:
        _require_own_names(ctx, volume_id, spare_id, (old, new))
        copy = ctx.volumes.with_columns(spare_id, **new)
        driver_contract.require_on_this_backend(ctx, copy, copy)
        if migrating_volume(copy.migration_status) != volume_id:
            text = f"is not the copy of {volume_id}: its migration status is"
            raise InvalidVolume(f"volume {spare_id} {text} {copy.migration_status}")
        plain = {name: old[name] for name in NEW if name in old}
        volume = ctx.volumes.with_columns(volume_id, **plain)
        update, taken = _asked(ctx, volume, copy, volume_status)
        default = {"_name_id": copy.name_id, "provider_location": copy.provider_location}
        entries = [{"id": volume_id, **default, **update}]
        if back := {name: old[name] for name in taken if name in old}:
            entries.append({"id": spare_id, **back})
        driver_contract.store(
            lambda _id, **_columns: ctx.volumes.update_all(entries),
            volume,
            entries[0],
            "update_migrated_volume",
        )


@registered
def flow() -> linear_flow.Flow:
    """Give a copy its volume's place.

    Needs ``volume_id``, the copy's as ``spare_id``, the former columns of their rows as ``old``
    and ``new``, and ``volume_status``, which the volume had before its migration.
    """
    return linear_flow.Flow("update_migrated_volume").add(UpdateMigratedVolume())


def _asked(
    ctx: MigrationContext, volume: Record, copy: Record, status: str | None
) -> tuple[dict[str, Any], list[str]]:
    """Return the driver's columns, and those that it takes from the volume's row."""
    driver = ctx.driver
    try:
        answer = driver.update_migrated_volume(ctx.request, volume, copy, status or "")
    except NotImplementedError:
        return {}, ["_name_id", "provider_location"]
    except Exception as error:
        raise driver_contract.backend_error("update_migrated_volume", volume.id, error) from error
    names = (copy.id, copy.name_id)
    update = driver_contract.model_update(answer, volume, "update_migrated_volume", names=names)
    return update, list(update)


def _require_own_names(
    ctx: MigrationContext, volume_id: str, spare_id: str, told: Sequence[Mapping[str, Any]]
) -> None:
    """Refuse a message by which a row would get the name of a third one's object.

    :raises InvalidVolume: it has such a name.
    """
    rows = [ctx.volumes.current(one) for one in (volume_id, spare_id)]
    own = {None, *(name for row in rows for name in (row.id, row.name_id))}
    for columns in told:
        if (name_id := columns.get("_name_id")) not in own:
            text = f"the object {name_id!r:.60} belongs to neither of the two"
            raise InvalidVolume(f"volume {spare_id} does not take the place of {volume_id}: {text}")
