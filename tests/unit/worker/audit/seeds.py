# SPDX-License-Identifier: Apache-2.0
"""One way to bring about each kind of drift."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping

from tests.unit.db.world import LONG_AGO
from tests.unit.worker.audit.world import Place

_GONE = {"deleted": True, "deleted_at": LONG_AGO, "status": "deleted"}


def volume_object_missing(place: Place) -> str:
    return place.volume(data=False)


def volume_size_differs(place: Place) -> str:
    volume_id = place.volume(size=2)
    place.file(f"volume-{volume_id}", 3)
    return volume_id


def volume_object_unknown(place: Place) -> str:
    return place.volume(**_GONE)


SEEDS: Mapping[str, Callable[[Place], str]] = {
    name: value
    for name, value in globals().items()
    if callable(value) and getattr(value, "__module__", "") == __name__
}
"""By the name of the kind; each returns the id of the resource that is reported."""


def strange_object(place: Place) -> str:
    """Leave an object that no row of this database ever had."""
    volume_id = str(uuid.uuid4())
    place.file(f"volume-{volume_id}", 1)
    return volume_id
