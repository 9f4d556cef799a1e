# SPDX-License-Identifier: Apache-2.0
"""What a kill can leave where a driver of Cinder's does not look for it.

Cinder does not go on after a kill, so its drivers need not find what is half made. The
worker deletes a volume before it makes it anew: what stands here comes after the
driver's own deletion, when nothing of the volume's name should be there any more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


def clear(driver: Any, volume: Any) -> None:
    """Remove what is left of a volume that the driver has deleted."""
    for kind in type(driver).__mro__:
        if work := _AFTER.get(f"{kind.__module__}.{kind.__name__}"):
            work(driver, volume)


def _image(driver: Any, volume: Any) -> None:
    """Remove an image that has a name and no header: Ceph cannot open it, nor make it anew."""
    client, pool = driver._connect_to_rados()
    try:
        driver.RBDProxy().remove(pool, volume.name)
    except driver.rbd.Error:  # it is not there, which is nearly always so
        return
    finally:
        driver._disconnect_from_rados(client, pool)


_AFTER: Mapping[str, Callable[[Any, Any], None]] = {"cinder.volume.drivers.rbd.RBDDriver": _image}
