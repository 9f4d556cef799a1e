# SPDX-License-Identifier: Apache-2.0
"""holdfast backup scrub: read backups in turn, and name damaged objects."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from drivers.interface.backup import Damage
from drivers.interface.errors import BackupDriverException
from flows.statuses import BackupStatus
from worker.cli.access import CommandError
from worker.cli.chains.own_store import OwnStore
from worker.cli.chains.scrub_state import ScrubState
from worker.cli.upkeep.outcome import Outcomes, with_dry_run

if TYPE_CHECKING:
    from drivers.interface.backup import BackupDriver
    from drivers.interface.records import Record

_WHOLE = (BackupStatus.AVAILABLE, BackupStatus.RESTORING)
_NOTHING: dict[str, Any] = {"object": "", "start": None, "end": None, "needed_by": [], "reason": ""}


class Scrub(Outcomes):
    """Read backups, the least recently read ones first, and report damaged objects.

    Each backup is read without those that it builds on, so that every object is read once. A
    damaged object is printed with its range of the volume, and with the backups that need it.
    Nothing is changed. The times are kept in scrub.json in state_path.

    Exit status 0: all that was read is whole; 1: an object is damaged, or a backup could not be
    read; 2: wrong usage.
    """

    keys = ("backup_id", "volume_id", "outcome", "object", "start", "end", "needed_by", "reason")

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add which backups, and the limits."""
        parser: argparse.ArgumentParser = with_dry_run(super().get_parser(prog_name))
        parser.formatter_class = argparse.RawDescriptionHelpFormatter
        add = parser.add_argument
        add("id", metavar="ID", nargs="*", help="backups (default: all in the store of this host)")
        rate = "MiB of volumes that are read in a second at most (default: no limit)"
        add("--rate", type=_positive, default=0.0, metavar="MIB", help=rate)
        most = "begin no further backup after N minutes"
        add("--minutes", type=_positive, metavar="N", help=most)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Read them one after another."""
        store, everything = OwnStore(self.access), self.access.records.backups.list()
        state = ScrubState(str(self.access.conf.state_path))
        wanted = state.oldest_first(self._wanted(parsed_args, store, everything))
        if parsed_args.dry_run:
            return self.table(parsed_args, [_row(one, "would be read") for one in wanted])
        driver, rows = store.driver(), list[dict[str, Any]]()
        ends = time.monotonic() + 60 * (parsed_args.minutes or 60 * 24 * 365)
        for backup in wanted:
            if time.monotonic() > ends:
                break
            rows += self._read(store, driver, backup, parsed_args.rate, state)
            state.write(one.id for one in everything)
        return self.table(parsed_args, rows)

    def _wanted(
        self, options: argparse.Namespace, store: OwnStore, everything: Sequence[Record]
    ) -> list[Record]:
        if not options.id:
            return [one for one in everything if one.status in _WHOLE and store.is_here(one)]
        named = [self.access.backup(one) for one in options.id]
        for one in named:
            store.require(one)
            if one.status not in _WHOLE:
                raise CommandError(f"backup {one.id} is {one.status}: there is nothing to read")
        return named

    def _read(
        self,
        store: OwnStore,
        driver: BackupDriver,
        backup: Record,
        rate: float,
        state: ScrubState,
    ) -> list[dict[str, Any]]:
        try:
            store.require_directory(driver)
            if damage := driver.scrub(backup, mib_per_second=rate):
                store.require_directory(driver)
        except NotImplementedError as error:
            reason = str(error) or f"{backup.service} cannot scrub backups"
            raise CommandError(reason) from error
        except BackupDriverException as error:
            if self._has_changed(backup):
                return [_row(backup, "changed meanwhile")]
            self.refuse()
            return [_row(backup, "not read", reason=str(error))]
        if damage and self._has_changed(backup):
            return [_row(backup, "changed meanwhile")]
        if not damage:
            state.note(backup.id, [])
            return [_row(backup, "whole")]
        self.refuse()
        needed = Dependents(driver, self.access.records.backups.find).of(
            backup, damage, self.access.records.backups.dependants
        )
        below = set(with_all_below(backup.id, self.access.records.backups.dependants))
        spared = below - {backup.id}.union(*needed.values())
        state.note(backup.id, [one.name for one in damage], sorted(spared))
        return [
            _row(
                backup,
                "damaged",
                object=one.name,
                start=one.start,
                end=one.end,
                needed_by=needed[one.name],
                reason=one.reason,
            )
            for one in damage
        ]

    def _has_changed(self, backup: Record) -> bool:
        """Return whether the backup was deleted, or stored anew, while it was read."""
        found = self.access.records.backups.find(backup.id)
        if found is None or found.deleted or found.status not in _WHOLE:
            return True
        return bool(found.service_metadata != backup.service_metadata)


class Dependents:
    """The backups that need damaged objects.

    :param find: returns the row of a backup; None where there is none.
    """

    def __init__(self, driver: BackupDriver, find: Callable[[str], Record | None]) -> None:
        self._driver = driver
        self._find = find

    def of(
        self, backup: Record, damage: Sequence[Damage], children: Callable[[str], Sequence[str]]
    ) -> dict[str, list[str]]:
        """Return the ids of the backups that need each damaged object.

        One whose chain cannot be read counts as one that needs all of them.
        """
        names = [one.name for one in damage]
        found: dict[str, list[str]] = {name: [] for name in names}
        for one in with_all_below(backup.id, children):
            row = self._find(one)
            if row is None or row.deleted:  # since its parent's row was read
                continue
            try:
                needed = self._driver.needed(row, names)
            except BackupDriverException:
                needed = set(names)
            for name in needed:
                found[name].append(one)
        return found


def with_all_below(first: str, children: Callable[[str], Sequence[str]]) -> Iterator[str]:
    """Yield the id of a backup, and those of all that build on it."""
    left, seen = [first], set[str]()
    while left:
        one = left.pop(0)
        if one not in seen:
            seen.add(one)
            yield one
            left += children(one)


def _row(backup: Record, outcome: str, **more: Any) -> dict[str, Any]:
    named = {"backup_id": backup.id, "volume_id": backup.volume_id, "outcome": outcome}
    return {**named, **_NOTHING, **more}


def _positive(text: str) -> float:
    """Return a number. :raises ArgumentTypeError: it is none above 0."""
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0 < found < 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return found
