# SPDX-License-Identifier: Apache-2.0
"""Create a volume from an encrypted one, with a passphrase of its own.

==========  ===================================  ================================
task        does                                 undone by
==========  ===================================  ================================
begin       checks that it is here               back to the scheduler, or the
                                                 status ``error`` and a message
make_key    makes a key, where the type has a    deletes it
            header of LUKS
allocate    a clone; its key is one that the     driver.delete_volume
            API has made, with the bytes of the
            source's
rekey       opens the clone on this host and     (with the clone)
            replaces the passphrase
switch_key  the row gets the key                 the former one
finish      the status ``available``             (point of no return)
delete_key  the other key is deleted
==========  ===================================  ================================

A clone that cannot be opened here, or is no raw disk, stays available with the passphrase of its
source, as with Cinder.

Source: spec/encryption §7; spec/volume-rpc, create_volume.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping
from typing import Any

from oslo_utils import units
from taskflow.patterns import linear_flow

from drivers.encryption import luks_format
from drivers.encryption.luks_format import LuksFormat
from drivers.interface.errors import VolumeDriverException
from drivers.interface.records import Record
from flows.context import ImageContext
from flows.encryption.volume_keys import DeleteUnusedKey, MakeKey, NewKey, SwitchKey
from flows.errors import AttachFailed
from flows.factories import registered
from flows.lifecycle import Step, was_interrupted
from flows.volume import create
from flows.volume.create import AllocateVolume, BeginCreate, FinishCreate
from flows.volume.data import open_volume
from flows.volume.lifecycle import find

LOG = logging.getLogger(__name__)

STATUSES = create.STATUSES
"""Those of each creation."""


class Rekey(Step):
    """Replace the passphrase of a clone; say whether the new key opens it.

    Idempotent: a passphrase that is replaced already stays. An interrupted attempt may have
    replaced it, so the next one has to be able to open the volume.
    """

    default_provides = "rekeyed"

    def execute(self, ctx: ImageContext, volume_id: str, new_key: NewKey | None) -> bool:
        if new_key is None:
            return False
        volume = ctx.volumes.get(volume_id)
        old, new = (ctx.keys.passphrase(ctx.request, new_key[of]) for of in ("former", "made"))
        size, wanted = int(volume.size) * units.Gi, _format(ctx, volume)
        given = (wanted, old.reveal(), new.reveal(), size, volume_id)
        try:
            with open_volume.opened(ctx, volume, write=True) as file, ctx.waiting():
                changed = ctx.images.change_passphrase(file, *given)
            reason = "it is no raw disk"
        except AttachFailed as error:
            if ctx.resumed:
                raise
            changed, reason = False, str(error)
        if not changed:
            LOG.warning("volume %s keeps the passphrase of its source: %s", volume_id, reason)
        return changed

    def revert(self, ctx: ImageContext, volume_id: str, result: Any) -> None:
        _release(ctx, volume_id, was_interrupted(result))

    def remove_temporary(self, ctx: ImageContext, known: Mapping[str, Any], begun: Any) -> None:
        ctx.images.clear(known["volume_id"])


def _release(ctx: ImageContext, volume_id: str, interrupted: bool) -> None:
    """Remove everything that a failed or interrupted attempt may have left."""
    ctx.images.clear(volume_id)
    volume = find(ctx, volume_id)
    if volume is not None and (interrupted or ctx.resumed):
        open_volume.release_leftovers(ctx, volume)


def _format(ctx: ImageContext, volume: Record) -> LuksFormat | None:
    """Return the format of a volume without a header; None where it cannot be made here."""
    row = ctx.types.encryption(volume.volume_type_id) or {}
    with contextlib.suppress(VolumeDriverException):
        return luks_format.format_of(row, str(volume.volume_type_id))
    return None


@registered
def flow() -> linear_flow.Flow:
    """Create a volume from another one that has a key.

    Needs the arguments of :func:`flows.volume.create.flow`.
    """
    return linear_flow.Flow("clone_encrypted_volume").add(
        BeginCreate(),
        MakeKey(),
        AllocateVolume("allocate"),
        Rekey(),
        SwitchKey(),
        FinishCreate("finish"),
        DeleteUnusedKey(),
    )
