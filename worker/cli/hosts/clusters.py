# SPDX-License-Identifier: Apache-2.0
"""holdfast cluster: rename a cluster, or take a host out of one."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import TYPE_CHECKING

from worker.cli.access import Command, CommandError
from worker.cli.slots.slot import table_of

if TYPE_CHECKING:
    from drivers.interface.records import Record

_BINARY = "cinder-volume"


class Rename(Command):
    """Give a cluster another name, while none of its services runs.

    The services, volumes, groups and entries of the image cache of the cluster get the new name,
    and keep their pools; unfinished operations stay with its hosts. Then set the option cluster on
    each host, and start the services.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add both names."""
        parser = super().get_parser(prog_name)
        parser.add_argument("cluster", metavar="CLUSTER", type=_name, help="as east@rbd")
        parser.add_argument("to", metavar="NAME", type=_name, help="the new name, as west@rbd")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Write the rows."""
        name, to = parsed_args.cluster, parsed_args.to
        services = self.access.records.services.list(binary=_BINARY, cluster_name=name)
        _require_down(self, services)
        slots = None if self.access.journal_file is not None else table_of(self.access)
        if slots is not None:
            slots.of_pool(name)  # an error before anything is written
        count = self.access.records.membership.rename(name, to)
        moved = 0 if slots is None else slots.rename_pool(name, to)
        if not (services or count or moved):
            raise CommandError(f"there is no cluster {name}; see: holdfast cluster list")
        self.write(f"{len(services)} services and {count} resources belong to cluster {to} now")
        if moved:
            self.write(f"{moved} slots of the journal belong to its pool")


class Leave(Command):
    """Take a volume service out of its cluster, with the resources that it has created.

    The service must not run. Afterwards remove the option cluster on its host, and start it.
    Resources whose row names another host stay with the cluster.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the host."""
        parser = super().get_parser(prog_name)
        parser.add_argument("host", metavar="HOST", type=_name, help="as node1@rbd")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Write the rows."""
        host = parsed_args.host
        found = self.access.records.services.list(binary=_BINARY, host=host)
        if not found:
            raise CommandError(f"there is no volume service {host}")
        _require_down(self, found)
        count = self.access.records.membership.leave(host)
        self.write(f"{host} and {count} resources belong to no cluster now")


def _name(text: str) -> str:
    """Return ``name@backend``. :raises ArgumentTypeError: it has another form."""
    name, _, backend = text.partition("@")
    if not name or not backend or "#" in text:
        raise argparse.ArgumentTypeError(f"{text!r} is not a name with its backend, as east@rbd")
    return text


def _require_down(command: Command, services: Iterable[Record]) -> None:
    if up := sorted(row.host for row in services if command.access.is_up(row)):
        limit = command.access.conf.service_down_time
        text = f"is up; stop it, and wait {limit} s (service_down_time)"
        raise CommandError(f"{up[0]} {text}")
