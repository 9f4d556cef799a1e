# SPDX-License-Identifier: Apache-2.0
"""holdfast volume, group, backup update-host: hand resources of a host to another one."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from worker.cli.access import CommandError, NoJournal
from worker.cli.upkeep.outcome import Outcomes, not_empty, with_dry_run

if TYPE_CHECKING:
    from drivers.interface.records import Record


class _UpdateHost(Outcomes):
    """Write another host into the rows of a host that was renamed or has ended for good.

    Pools are kept, unless --to names one. It is refused while a service of the former host is up
    or the journal has unfinished operations of it, and where the new host has no service. --force
    skips these checks.
    """

    keys = ("table", "from_host", "to_host", "rows", "outcome")
    noun = ""
    binary = "cinder-volume"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add both hosts."""
        parser = with_dry_run(super().get_parser(prog_name))
        add = parser.add_argument
        former = "node@backend, node@backend#pool, or a node with all its backends"
        add("--from", dest="former", metavar="HOST", required=True, type=not_empty, help=former)
        add("--to", metavar="HOST", required=True, type=not_empty, help="a name of the same form")
        add("--force", action="store_true", help="skip the checks")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Check, count, and write."""
        former, to = parsed_args.former, parsed_args.to
        self._require_same_form(former, to)
        if not parsed_args.force:
            self._require_ended(former)
            self._require_service(to)
        names = self.access.records.host_names
        found = names.count(self.noun, former)
        if not any(found.values()):
            raise CommandError(f"no {self.noun} has the host {former}")
        changed = found if parsed_args.dry_run else names.rename(self.noun, former, to)
        outcome = "would change" if parsed_args.dry_run else "changed"
        between = {"from_host": former, "to_host": to, "outcome": outcome}
        rows = [{"table": table, "rows": count, **between} for table, count in changed.items()]
        return self.table(parsed_args, rows)

    def _require_same_form(self, former: str, to: str) -> None:
        if former == to:
            raise CommandError(f"both hosts are {to}")
        if self.noun == "backup" and ("@" in former + to or "#" in former + to):
            raise CommandError("the host of a backup is a node without a backend")
        backends = "@" in former, "@" in to
        if backends[0] != backends[1] or "#" in former and "#" not in to:
            raise CommandError(f"{former} and {to} are not both nodes, backends or pools")
        if "#" in to and "@" not in to:
            raise CommandError(f"{to} has a pool without a backend")

    def _require_ended(self, former: str) -> None:
        """:raises CommandError: a service may work on the resources."""
        if up := [row.host for row in self._services(former) if self.access.is_up(row)]:
            text = f"the service {up[0]} is up: stop it"
            raise CommandError(f"{text}, and wait {self.access.conf.service_down_time} s")
        try:
            slots = self.access.journal.slots.unfinished()
        except NoJournal:
            return
        backend = former.partition("#")[0]
        for slot, (count, _oldest) in slots.items():
            host = slot.rpartition("/")[0]
            if host == backend or host.startswith(f"{backend}@"):
                advice = "start its service once, or see: holdfast flow list"
                raise CommandError(f"{slot} has {count} unfinished operations: {advice}")

    def _require_service(self, to: str) -> None:
        if not self._services(to):
            text = f"there is no {self.binary} {to.partition('#')[0]}; see: holdfast service list"
            raise CommandError(text)

    def _services(self, name: str) -> list[Record]:
        backend = name.partition("#")[0]
        rows = self.access.records.services.list(binary=self.binary)
        return [row for row in rows if row.host == backend or row.host.startswith(f"{backend}@")]


class Volume(_UpdateHost):
    # Its help is that of _UpdateHost. Groups and the image cache change as well.
    noun = "volume"


class Group(_UpdateHost):
    # Its help is that of _UpdateHost.
    noun = "group"


class Backup(_UpdateHost):
    # Its help is that of _UpdateHost.
    noun = "backup"
    binary = "cinder-backup"
