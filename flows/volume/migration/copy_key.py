# SPDX-License-Identifier: Apache-2.0
"""The key of a copy whose type is encrypted in another way than that of its volume.

Where the encryption does not change, the copy has the id of the volume's key. The deletion of a
copy, or of the former volume after the swap, deletes its key (see ``delete``); no API does.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, TypedDict

from drivers.interface.records import Record
from flows.context import MigrationContext, VolumeContext
from flows.encryption.volume_keys import delete_unnamed, make_key
from flows.errors import KeyManagerError, VolumeMigrationFailed
from flows.lifecycle import Step, failed_itself
from flows.statuses import MigrationStatus, migrating_volume


class CopyKey(TypedDict):
    """The key of a copy that does not have the volume's.

    :param made: its id; None where the type of the copy is not encrypted.
    """

    made: str | None


class MakeCopyKey(Step, task="make_key"):
    """Make a key for the copy, where its type is encrypted in another way.

    A kill before the checkpoint of the id leaves a key that no row names; the next attempt
    removes it.
    """

    default_provides = "copy_key"
    passed_over = True  # earlier versions refused such types

    def execute(
        self,
        ctx: MigrationContext,
        volume_id: str,
        spare_id: str,
        moved: bool,
        new_type_id: str | None = None,
    ) -> CopyKey | None:
        volume = ctx.volumes.current(volume_id)
        if moved or not changes(ctx, volume, new_type_id):
            return None
        if (row := ctx.types.encryption(new_type_id)) is None:
            return CopyKey(made=None)
        if not row.get("cipher") or not row.get("key_size"):
            text = f"no key can be made for volume type {new_type_id}: it has no cipher or key_size"
            raise VolumeMigrationFailed(f"volume {volume_id}: {text}")
        return CopyKey(made=make_key(ctx, volume.replace(id=spare_id), row))

    def revert(self, ctx: MigrationContext, spare_id: str, result: Any) -> None:
        """Delete the key, unless the copy is there: its deletion deletes it."""
        if isinstance(result, dict):
            _discard(ctx, spare_id, result)
        elif failed_itself(result) and not result.check(KeyManagerError, VolumeMigrationFailed):
            # It may have made one; a key manager that has failed is not asked again.
            _remove_unnamed(ctx, spare_id)

    def remove_temporary(
        self, ctx: MigrationContext, known: Mapping[str, Any], begun: Collection[str]
    ) -> None:
        """Delete a key that no row has, after the end or the loss of the claim."""
        if (copy_key := known.get("copy_key")) is not None:
            _discard(ctx, str(known.get("spare_id")), copy_key)
        elif self.name in begun and "target" not in begun:
            _remove_unnamed(ctx, str(known.get("spare_id")))


def changes(ctx: MigrationContext, volume: Record, type_id: str | None) -> bool:
    """Return whether another type is encrypted in another way than that of a volume."""
    if not type_id or type_id == volume.volume_type_id:
        return False
    return bool(ctx.types.diff(volume.volume_type_id, type_id)["encryption"])


def delete_key_of_copy(ctx: VolumeContext, volume: Record) -> None:
    """Delete the key of a row that is the copy in a migration, or its former volume.

    Cinder's API deletes the keys of the volumes that users delete, and asks for their deletion
    after that.
    """
    is_copy = migrating_volume(volume.migration_status) is not None
    is_former = volume.migration_status == MigrationStatus.DELETING
    if volume.encryption_key_id and (is_copy or is_former):
        delete_unnamed(ctx, volume.id, (volume.encryption_key_id,), by_others=True)


def columns_of_remainder(ctx: VolumeContext, volume: Record) -> dict[str, Any]:
    """Return the columns for the row of a former volume that could not be deleted.

    Users may delete it, and the API deletes the key of its row then: it is not to name the one of
    the volume that has moved.
    """
    key_id = volume.encryption_key_id
    if volume.migration_status != MigrationStatus.DELETING or not key_id:
        return {}
    shared = set(ctx.backups.naming_key(key_id)) - {f"volume {volume.id}"}
    return {"encryption_key_id": None} if shared else {}


def _discard(ctx: MigrationContext, spare_id: str, copy_key: Mapping[str, Any]) -> None:
    if copy_key["made"]:
        delete_unnamed(ctx, spare_id, (copy_key["made"],))


def _remove_unnamed(ctx: MigrationContext, spare_id: str) -> None:
    owner = Record("volume", {"id": spare_id, "user_id": None})
    ctx.keys.remove_unnamed(ctx.request, owner, ())
