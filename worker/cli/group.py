# SPDX-License-Identifier: Apache-2.0
"""holdfast group: list and show groups of volumes from the database."""

from __future__ import annotations

import argparse
from typing import Any

from worker.cli.access import Lister, ShowOne
from worker.cli.lookup.reasons import reason_of
from worker.cli.volume import chosen, rows, shown, with_choice, with_id

_GROUP = ("id", "name", "status", "host")


class List(Lister):
    """List groups, the newest first."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add which ones."""
        return with_choice(super().get_parser(prog_name))

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Read the live rows."""
        found = self.access.records.groups.list(**chosen(parsed_args))
        return ("ID", "Name", "Status", "Host"), rows(found, _GROUP)


class Show(ShowOne):
    """Show a group with its volumes and its snapshots."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the id."""
        return with_id(super().get_parser(prog_name))

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Read the row and its members."""
        group = self.access.group(parsed_args.id)
        snapshots = self.access.records.group_snapshots.list(group_id=group.id)
        more = {
            **reason_of(self.access, group),
            "group_type": group.group_type and group.group_type.name,
            "volumes": [f"{volume.id} {volume.status}" for volume in group.volumes],
            "group_snapshots": [f"{one.id} {one.status}" for one in snapshots],
        }
        return shown(group, more)
