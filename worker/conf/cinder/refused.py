# SPDX-License-Identifier: Apache-2.0
"""Options that change visible behaviour, and that this service does not support.

Each prevents a start, unless its value is Cinder's default or ``accept_unsupported`` names
it: to continue silently would be worse.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from worker.conf import key_managers

VOLUME = frozenset({"volume"})
BACKUP = frozenset({"backup"})
BOTH = VOLUME | BACKUP


@dataclass(frozen=True)
class RefusedOption:
    """One of them.

    :param effect: Cinder's behaviour with it.
    :param advice: the alternative.
    :param services: those that do not start with it.
    :param when: whether a value, as it is written, is refused; None: unless it is the default.
    """

    effect: str
    advice: str
    services: frozenset[str] = VOLUME
    when: Callable[[str], bool] | None = None

    def __str__(self) -> str:
        return f"{self.effect}; not supported: {self.advice}"


_OWN_CLASS = "loads a class of your own in the place of Cinder's"
_REMOVE = "remove it"


def _other_than(*known: str) -> Callable[[str], bool]:
    return lambda text: text.strip() not in ("", *known)


SERVICE: dict[str, RefusedOption] = {
    "backup_manager": RefusedOption(_OWN_CLASS, _REMOVE, services=BACKUP),
    "quota_driver": RefusedOption("counts quota by a class of your own", _REMOVE, services=BOTH),
    "volume_copy_bps_limit": RefusedOption(
        "bounds the bandwidth of copies by a control group",
        "remove it, systemd's IOReadBandwidthMax and IOWriteBandwidthMax do the same",
    ),
    "volume_manager": RefusedOption(_OWN_CLASS, _REMOVE),
}
"""Options of [DEFAULT]."""

BACKEND: dict[str, RefusedOption] = {
    "volume_copy_bps_limit": RefusedOption(
        "bounds the bandwidth of copies by a control group",
        "remove it, systemd's IOReadBandwidthMax and IOWriteBandwidthMax do the same",
    ),
}
"""Options of a backend's section, and of [backend_defaults]."""

KEYS: dict[str, RefusedOption] = {
    "backend": RefusedOption(
        "keeps the keys of encrypted volumes in a key manager of another project",
        "barbican, vault and ConfKeyManager are, with castellan's names",
        services=BOTH,
        when=_other_than(*key_managers.KINDS),
    ),
}
"""Options of [key_manager]."""

STORES: dict[str, RefusedOption] = {
    f"cinder.backup.drivers.{module}": RefusedOption(
        f"keeps backups in {store}",
        "leave backups to cinder-backup, which works beside holdfast-volume, and say so with "
        "accept_unsupported = backup_driver",
        services=BACKUP,
    )
    for module, store in (("tsm", "IBM Spectrum Protect"),)
}
"""Modules of which backup_driver names a class."""


def store(wanted: str) -> RefusedOption | None:
    """Return why a backup_driver of Cinder is refused, None where it is not."""
    return STORES.get(wanted) or STORES.get(wanted.rpartition(".")[0])
