# SPDX-License-Identifier: Apache-2.0
"""Steps on the key of a volume that gets another one (spec/encryption §7).

The row names a key that opens the data at each moment at which the volume can be used: the former
one is deleted after the end of the operation, or the new one after its revert.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from typing import Any, TypedDict

from drivers.encryption import luks_format
from drivers.interface.records import Record
from flows.context import DataContext, VolumeContext
from flows.errors import KeyManagerError, NotFound, VolumeNotFound
from flows.lifecycle import Step, failed_itself

LOG = logging.getLogger(__name__)


class NewKey(TypedDict):
    """Ids of the keys of a volume that gets another one.

    :param former: the one of its row.
    :param made: the other one.
    """

    former: str
    made: str


class MakeKey(Step, task="make_key"):
    """Make another key for a volume, unless it has none, or its type no header of LUKS.

    A kill before the checkpoint of the id leaves a key that no row names; the next attempt
    removes it.
    """

    default_provides = "new_key"

    def execute(self, ctx: DataContext, volume_id: str) -> NewKey | None:
        volume = ctx.volumes.get(volume_id)
        former, row = volume.encryption_key_id, ctx.types.encryption(volume.volume_type_id)
        if not former or row is None or not luks_format.is_before_data(row):
            if former:
                text = "volume %s keeps the passphrase of its source: its type has no LUKS header"
                LOG.warning(text, volume_id)
            return None
        made = make_key(ctx, volume, row, named=(former,))
        if made == former:  # the key manager has only one
            return None
        return NewKey(former=former, made=made)

    def revert(self, ctx: DataContext, volume_id: str, result: Any) -> None:
        """Delete the key, unless the row has it; then the former one is not needed."""
        if isinstance(result, dict):
            delete_unnamed(ctx, volume_id, (result["made"], result["former"]))
        elif failed_itself(result) and not result.check(KeyManagerError):
            # It may have made one; a key manager that has failed is not asked again.
            self._remove_unnamed(ctx, volume_id)

    def remove_temporary(
        self, ctx: DataContext, known: Mapping[str, Any], begun: Collection[str]
    ) -> None:
        """Delete the key that the row does not have, after the end or the loss of the claim."""
        volume_id = known["volume_id"]
        if (new_key := known.get("new_key")) is not None:
            delete_unnamed(ctx, volume_id, (new_key["made"], new_key["former"]))
        elif self.name in begun and _live(ctx, volume_id) is None:
            # While there is a row, another operation may have made a key for it.
            self._remove_unnamed(ctx, volume_id)

    @staticmethod
    def _remove_unnamed(ctx: DataContext, volume_id: str) -> None:
        volume = _live(ctx, volume_id)
        named = (volume.encryption_key_id,) if volume is not None else ()
        owner = volume or Record("volume", {"id": volume_id, "user_id": None})
        ctx.keys.remove_unnamed(ctx.request, owner, [one for one in named if one])


class SwitchKey(Step, task="switch_key"):
    """Write the new key into the row of a volume whose data it opens.

    Idempotent: it writes the same id again. Where the row has gone, the volume is an orphan and
    is removed.
    """

    def execute(
        self, ctx: DataContext, volume_id: str, new_key: NewKey | None, rekeyed: bool
    ) -> None:
        if new_key is None or not rekeyed:
            return
        volume = ctx.volumes.get(volume_id)
        try:
            ctx.volumes.update(volume_id, encryption_key_id=new_key["made"])
        except VolumeNotFound:
            ctx.driver.delete_volume(volume)
            raise

    def revert(self, ctx: DataContext, volume_id: str, new_key: NewKey | None) -> None:
        """Write the former key, which another attempt on another backend needs.

        Not after the end of the operation: the volume may be in use with the new one.
        """
        volume = _live(ctx, volume_id)
        if new_key is None or volume is None or volume.encryption_key_id != new_key["made"]:
            return
        if ctx.claim is not None and not ctx.claim.claim.shown_by(ctx, volume):
            return
        ctx.volumes.update(volume_id, encryption_key_id=new_key["former"])


class DeleteUnusedKey(Step, task="delete_key"):
    """Delete the one of both keys that the row does not name, after the operation.

    Idempotent: absence is success. A key that cannot be deleted does not end the operation, whose
    data is whole: a line of the log names it. Where a kill prevents this step, the temporary
    objects of :class:`MakeKey` are removed.
    """

    def execute(self, ctx: DataContext, volume_id: str, new_key: NewKey | None) -> None:
        if new_key is not None:
            delete_unnamed(ctx, volume_id, (new_key["former"], new_key["made"]))


def make_key(
    ctx: VolumeContext, owner: Record, row: Mapping[str, Any], named: Collection[str] = ()
) -> str:
    """Make a key as a type wants it, and return its id; remove one that a kill has left.

    :param owner: the volume of the key, which may not be there yet.
    :param row: the encryption of the type, with a cipher and the size of the key.
    :param named: ids of the keys that the owner has.
    :raises KeyManagerError: there is none.
    """
    if ctx.resumed:
        ctx.keys.remove_unnamed(ctx.request, owner, named)
    algorithm = str(row["cipher"]).partition("-")[0]
    return ctx.keys.create_key(ctx.request, owner, algorithm, int(row["key_size"]))


def delete_unnamed(
    ctx: VolumeContext, volume_id: str, key_ids: Collection[str], *, by_others: bool = False
) -> None:
    """Delete keys that no live row names; log those that cannot be deleted.

    :param by_others: whether the row of the volume itself may name them.
    """
    own = {f"volume {volume_id}"} if by_others else set()
    for key_id in key_ids:
        if set(ctx.backups.naming_key(key_id)) - own:
            continue
        try:
            ctx.keys.delete(ctx.request, key_id)
        except KeyManagerError as error:
            text = "key %s of volume %s is not needed, and not deleted, delete it: %s"
            LOG.error(text, key_id, volume_id, error)


def _live(ctx: DataContext, volume_id: str) -> Record | None:
    try:
        return ctx.volumes.current(volume_id)
    except NotFound:
        return None
