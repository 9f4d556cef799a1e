# SPDX-License-Identifier: Apache-2.0
"""Which of our methods a driver of Cinder's really has.

Cinder's base class answers every call, mostly by saying that it cannot; a driver
announces the methods that it defines itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cinder.volume import driver
from oslo_config import cfg

from drivers.cinder import manager_options
from drivers.cinder.adapter import CinderDriver
from drivers.cinder.optional import groups, image_extents, manage, replication, single_methods
from drivers.interface.group import VolumeConsistencyGroupDriver, VolumeGroupDriver
from drivers.interface.manage import VolumeManagementDriver
from drivers.interface.snapshot import VolumeSnapshotManagementDriver

_BASES = (
    *(driver.BaseVD, driver.VolumeDriver, driver.CloneableImageVD, driver.MigrateVD),
    *(driver.ManageableVD, driver.ManageableSnapshotsVD),
)
_OFFERS = (
    single_methods.ExportingCinderDriver,
    single_methods.CopyingCinderDriver,
    single_methods.MovingCinderDriver,
    single_methods.ReportingCinderDriver,
)

_ALWAYS = frozenset({"copy_image_to_volume", "copy_volume_to_image"})
"""Done by Cinder's base class: it attaches whatever the driver connects."""

_LISTS = ("get_manageable_volumes", "get_manageable_snapshots")
"""Methods that list the objects of a backend; those of the base class return empty lists."""

_NOT_BY_A_PROXY = frozenset({"get_backup_device", *_LISTS})
"""Methods that are not called on a proxy driver, as its real driver may lack them."""

_COMMON = (
    *("volume_opts", "iser_opts", "nvmeof_opts", "nvmet_opts", "scst_opts"),
    *("image_opts", "backup_opts", "fqdn_opts"),
)

_Methods = Mapping[str, Callable[..., Any]]


def adapted(wrapped: Any) -> type[CinderDriver]:
    """Return a driver of ours around a class of Cinder's."""
    offers: dict[str, Any] = {}
    for offer in _OFFERS:
        offers |= {
            name: method
            for name, method in _public(offer).items()
            if name in _ALWAYS or has(wrapped, name)
        }
    offers |= {name: call for name, call in replication.METHODS.items() if has(wrapped, name)}
    offers |= image_extents.methods(wrapped)
    if all(has(wrapped, name) for name in _LISTS):
        offers |= _public(manage.ListsObjects)
    kinds: list[type] = []
    for kind, first, methods in _FAMILIES:
        if has(wrapped, first):
            kinds.append(kind)
            offers |= methods
    module = f"{wrapped.__module__} of Cinder, adapted"
    about = {"cinders": wrapped, "OPTS": options(wrapped), "__module__": module}
    about["SUPPORTS_ACTIVE_ACTIVE"] = bool(getattr(wrapped, "SUPPORTS_ACTIVE_ACTIVE", False))
    made: type[CinderDriver] = type(
        wrapped.__name__, (CinderDriver, *kinds), {**offers, **about, "__doc__": wrapped.__doc__}
    )
    return made


def has(wrapped: Any, name: str) -> bool:
    """Return whether a class has a method that is not the one of all drivers."""
    if issubclass(wrapped, driver.ProxyVD):
        return name not in _NOT_BY_A_PROXY
    owner = next((kind for kind in wrapped.__mro__ if name in vars(kind)), None)
    return owner is not None and owner not in _BASES


def options(wrapped: Any) -> list[cfg.Opt]:
    """Return the options of a driver's section, without those that stand there twice."""
    found = [option for name in _COMMON for option in getattr(driver, name)]
    found += manager_options.OF_BACKENDS
    driver_options = getattr(wrapped, "get_driver_options", None)
    found += list(driver_options() or ()) if driver_options is not None else []
    return list({option.dest: option for option in found}.values())


def _public(offer: type) -> _Methods:
    return {name: found for name, found in vars(offer).items() if not name.startswith("_")}


_FAMILIES: tuple[tuple[type, str, _Methods], ...] = (
    (VolumeManagementDriver, "manage_existing", _public(manage.ManageVolumes)),
    (VolumeSnapshotManagementDriver, "manage_existing_snapshot", _public(manage.ManageSnapshots)),
    (VolumeGroupDriver, "create_group", groups.GENERIC),
    (VolumeConsistencyGroupDriver, "create_consistencygroup", groups.CONSISTENT),
)
