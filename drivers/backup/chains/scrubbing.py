# SPDX-License-Identifier: Apache-2.0
"""Find the damaged objects of a stored backup, and the backups that need them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from oslo_utils import units

from drivers.backup.chains import overlay
from drivers.backup.format import layout
from drivers.backup.stores.object_store import ObjectStore
from drivers.backup.transfer.chain import Chain
from drivers.backup.transfer.limits import TransferLimits
from drivers.backup.transfer.recorded_backups import RecordedBackups, required_parent
from drivers.backup.transfer.restore_run import RestoreRun
from drivers.interface.backup import BackupDriver, Damage
from drivers.interface.errors import BackupDamaged
from drivers.interface.pace import Pace
from drivers.interface.records import Record


class Scrubbing(BackupDriver):
    """The part of a driver of a store of objects that looks for damage."""

    _store: ObjectStore
    _work: Path
    _limits: TransferLimits

    def scrub(
        self,
        backup: Record,
        *,
        pace: Pace = Pace(),  # noqa: B008 - it is immutable
        mib_per_second: float = 0,
    ) -> list[Damage]:
        """Read all objects of the backup, and compare them with its metadata and its hashes."""
        recorded = RecordedBackups(self._store, self._work)
        limits = self._limits
        if mib_per_second:
            limits = TransferLimits(1, 1, mib_per_second * units.Mi)
        try:
            link = recorded.link(backup)
        except BackupDamaged as error:
            name = f"{backup.service_metadata}{layout.METADATA}"
            return [Damage(name, 0, 0, str(error))]
        found: list[Damage] = []
        try:
            if link.manifest.parent_id is not None:
                required_parent(backup, link.manifest.parent_id)  # which is read by itself
        except BackupDamaged as error:
            found.append(Damage(f"{link.prefix}{layout.METADATA}", 0, 0, str(error)))
        chain = Chain(self._store, [link], self._work)
        RestoreRun(limits, self._store, chain, damage=found).run(pace)
        return sorted(found, key=lambda one: (one.start, one.name))

    def needed(self, backup: Record, names: Iterable[str]) -> set[str]:
        """Compare the names with the visible objects of the chain, and with its tables."""
        links = RecordedBackups(self._store, self._work).links(backup)
        tables = (layout.METADATA, layout.BLOCK_HASHES)
        known = {f"{link.prefix}{table}" for link in links for table in tables}
        wanted = set(names)
        found = wanted & known
        for part in overlay.visible([link.manifest.objects for link in reversed(links)]):
            if found == wanted:
                break
            found |= {part.source.name} & wanted
        return found
