# SPDX-License-Identifier: Apache-2.0
"""References to unmanaged objects on a backend.

Source: seeds, VolumeManagementDriver and VolumeSnapshotManagementDriver
(``existing_ref``); spec/interfaces §3 and §4.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from drivers.interface.errors import ManageExistingInvalidReference
from drivers.interface.records import Record
from flows.context import VolumeContext
from flows.driver_calls.driver_contract import positive_gib
from flows.errors import DriverReturnedRubbish, InvalidInput


def measure(
    ctx: VolumeContext, resource: Record, ref: Any, ask: Callable[[Record, Any], Any] | None
) -> int:
    """Return the size of the object in GiB; nothing is changed.

    :param ask: the driver's method, None where it has none.
    :raises ManageExistingInvalidReference: it names nothing, or a managed object.
    :raises DriverReturnedRubbish: the driver's answer is no size.
    """
    supported(resource, ask)
    if not isinstance(ref, Mapping) or not ref:
        text = f"a reference is a dict such as {{'source-name': …}}, not {ref!r:.80}"
        raise ManageExistingInvalidReference(f"{resource.kind} {resource.id}: {text}")
    _require_unmanaged(ctx, resource, ref)
    assert ask is not None
    try:
        return positive_gib(ask(resource, ref), f"the object for {resource.kind} {resource.id}")
    except InvalidInput as error:
        raise DriverReturnedRubbish(str(error)) from error


def supported(resource: Record, ask: object) -> None:
    """Refuse where the driver has no such method.

    :raises ManageExistingInvalidReference: it cannot take objects over.
    """
    if ask is None:
        text = f"this backend cannot take over existing objects as a {resource.kind}"
        raise ManageExistingInvalidReference(f"{resource.kind} {resource.id}: {text}")


def _require_unmanaged(ctx: VolumeContext, resource: Record, ref: Mapping[str, Any]) -> None:
    """Refuse the object of another row: two rows would delete it, and share its data."""
    for key, value in ref.items():
        if not isinstance(value, str):
            continue
        owner = ctx.volumes.named(value) or ctx.snapshots.named(value)
        if owner is not None and owner.id != resource.id:
            text = f"{key} {value} is managed already, as {owner.kind} {owner.id}"
            raise ManageExistingInvalidReference(f"{resource.kind} {resource.id}: {text}")
