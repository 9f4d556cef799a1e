# SPDX-License-Identifier: Apache-2.0
"""Remove remains of interrupted operations that Cinder's drivers do not look for.

Cinder does not resume after a kill, so its drivers need not find half-made objects. The
worker deletes a volume before it creates it again: these functions run after the
driver's own deletion, when nothing of the volume's name should be there any more.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

from drivers.compat.cinder import rados_pool


def clear(driver: Any, volume: Any) -> None:
    """Remove the remains of a volume that the driver has deleted."""
    for kind in type(driver).__mro__:
        if work := _AFTER.get(f"{kind.__module__}.{kind.__name__}"):
            work(driver, volume)


def _image(driver: Any, volume: Any) -> None:
    """Remove an image that has a name and no header: Ceph cannot open it, nor make it anew."""
    with rados_pool(driver) as pool, contextlib.suppress(driver.rbd.Error):
        driver.RBDProxy().remove(pool, volume.name)  # nearly always there is none


def _source_of_a_clone(driver: Any, volume: Any) -> None:
    """Remove the snapshot that a thick clone is copied from: the next try makes it anew."""
    name = f"clone-snap-{volume.id}"
    if driver.vg.get_volume(name) is not None:
        driver.vg.delete(name)


_AFTER: Mapping[str, Callable[[Any, Any], None]] = {
    "cinder.volume.drivers.rbd.RBDDriver": _image,
    "cinder.volume.drivers.lvm.LVMVolumeDriver": _source_of_a_clone,
}
