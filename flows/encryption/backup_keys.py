# SPDX-License-Identifier: Apache-2.0
"""Steps on the keys of encrypted backups, and of the volumes that they are restored to.

Each backup has a key of its own: a clone of the volume's, since the data is ciphertext. A key is
made before a row refers to it, and is deleted after the last reference is gone
(spec/encryption §6).
"""

from __future__ import annotations

import logging
from typing import Any, TypedDict

from drivers.interface.records import Record
from flows.context import BackupContext
from flows.errors import KeyManagerError, ManagedObjectNotFoundError, NotFound
from flows.lifecycle import Step

LOG = logging.getLogger(__name__)


class VolumeKeys(TypedDict):
    """Ids of the keys of a volume that is restored to.

    :param former: the one of its row before the restore; None for none.
    :param cloned: the clone of the backup's key; None where none is needed.
    :param keeps: whether the key of the volume has the bytes of the backup's.
    """

    former: str | None
    cloned: str | None
    keeps: bool


class CloneBackupKey(Step, task="clone_key"):
    """Clone the key of a volume for its backup.

    A kill before the write of the id leaves a clone that no row names; the next attempt removes
    it. The row keeps the id after a failure: the deletion of the backup deletes the key.
    """

    def execute(self, ctx: BackupContext, backup_id: str) -> None:
        backup = ctx.backups.get(backup_id)
        key_id = ctx.volumes.get(backup.volume_id).encryption_key_id
        if not key_id or backup.encryption_key_id:
            return
        if ctx.resumed:
            ctx.keys.remove_unnamed(ctx.request, backup, ())
        made = ctx.keys.clone(ctx.request, key_id, backup)
        try:
            ctx.backups.update(backup_id, encryption_key_id=made)
        except NotFound:
            ctx.keys.delete(ctx.request, made)
            raise


class CloneVolumeKey(Step, task="clone_key"):
    """Clone the key of a backup for the volume, before a byte is written.

    A backup whose key is gone ends the restore here. Idempotent as :class:`CloneBackupKey`.
    """

    default_provides = "volume_keys"

    def execute(self, ctx: BackupContext, backup_id: str, volume_id: str) -> VolumeKeys:
        backup, volume = ctx.backups.get(backup_id), ctx.volumes.get(volume_id)
        former = volume.encryption_key_id or None
        if not backup.encryption_key_id:
            return VolumeKeys(former=former, cloned=None, keeps=False)
        if ctx.resumed:
            ctx.keys.remove_unnamed(ctx.request, volume, [former] if former else ())
        if former and _opens_alike(ctx, former, backup.encryption_key_id):
            return VolumeKeys(former=former, cloned=None, keeps=True)
        cloned = ctx.keys.clone(ctx.request, backup.encryption_key_id, volume)
        return VolumeKeys(former=former, cloned=cloned, keeps=False)

    def revert(self, ctx: BackupContext, volume_id: str, result: Any) -> None:
        """Delete the clone, unless the volume has it by now."""
        if isinstance(result, dict):
            _discard(ctx, volume_id, result)


class ExchangeKey(Step, task="exchange_key"):
    """Give the volume the key of its data, and delete the former one.

    Idempotent: the ids are those of the checkpoint. A former key that cannot be deleted does not
    end the restore, whose data is whole: a line of the log names it.
    """

    def execute(
        self,
        ctx: BackupContext,
        backup_id: str,
        volume_id: str,
        volume_keys: VolumeKeys,
        brought: bool,
    ) -> None:
        if not brought:
            _discard(ctx, volume_id, volume_keys)
            return
        backup, volume = ctx.backups.find(backup_id), _live(ctx, volume_id)
        if volume is None:
            _discard(ctx, volume_id, volume_keys)
            return
        former, wanted = volume_keys["former"], volume_keys["cloned"]
        if volume_keys["keeps"]:
            return
        if wanted is None and backup is not None and backup.encryption_key_id:
            # Only the metadata in the store has named the key.
            if ctx.resumed:
                ctx.keys.remove_unnamed(ctx.request, volume, [former] if former else ())
            wanted = ctx.keys.clone(ctx.request, backup.encryption_key_id, volume)
        if volume.encryption_key_id != wanted:
            if wanted is None:
                text = "volume %s has plain data now, of backup %s, and loses its key"
                LOG.warning(text, volume_id, backup_id)
            ctx.volumes.update(volume_id, encryption_key_id=wanted)
        if former and former != wanted:
            _delete_former(ctx, volume_id, former)


class DeleteBackupKey(Step, task="delete_key"):
    """Delete the key of a backup, after its data. Idempotent: absence is success."""

    def execute(self, ctx: BackupContext, backup_id: str) -> None:
        backup = ctx.backups.find(backup_id)
        if backup is None or backup.deleted or not backup.encryption_key_id:
            return
        key_id = backup.encryption_key_id
        others = [one for one in ctx.backups.naming_key(key_id) if one != f"backup {backup_id}"]
        if others:  # such as another import of the same record
            LOG.warning("key %s of backup %s stays: %s has it", key_id, backup_id, others[0])
        else:
            ctx.keys.delete(ctx.request, key_id)
        ctx.backups.update(backup_id, encryption_key_id=None)


def _opens_alike(ctx: BackupContext, one: str, other: str) -> bool:
    """Return whether two keys have the same bytes; the second one has to exist."""
    wanted = ctx.keys.passphrase(ctx.request, other)
    try:
        return ctx.keys.passphrase(ctx.request, one) == wanted
    except ManagedObjectNotFoundError:
        return False


def _discard(ctx: BackupContext, volume_id: str, volume_keys: Any) -> None:
    """Delete the clone for a volume that does not have it."""
    cloned, volume = volume_keys["cloned"], _live(ctx, volume_id)
    if cloned and (volume is None or volume.encryption_key_id != cloned):
        ctx.keys.delete(ctx.request, cloned)


def _delete_former(ctx: BackupContext, volume_id: str, key_id: str) -> None:
    """Delete the key that a volume had, unless snapshots of its old data need it."""
    if others := ctx.backups.naming_key(key_id):
        text = "key %s, which volume %s had before its restore, stays: %s has it"
        LOG.info(text, key_id, volume_id, others[0])
        return
    try:
        ctx.keys.delete(ctx.request, key_id)
    except KeyManagerError as error:
        text = "key %s, which volume %s had before its restore, is not deleted, delete it: %s"
        LOG.error(text, key_id, volume_id, error)


def _live(ctx: BackupContext, volume_id: str) -> Record | None:
    try:
        return ctx.volumes.get(volume_id)
    except NotFound:
        return None
