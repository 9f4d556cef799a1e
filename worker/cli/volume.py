# SPDX-License-Identifier: Apache-2.0
"""holdfast volume, snapshot, service: list and show rows of the database."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from worker.cli.access import Lister, ShowOne, plain
from worker.cli.lookup.reasons import reason_of
from worker.cli.lookup.row_limit import number_of_rows

if TYPE_CHECKING:
    from drivers.interface.records import Record

_VOLUME = ("id", "display_name", "size", "status", "attach_status", "host")
_SNAPSHOT = ("id", "display_name", "volume_id", "volume_size", "status", "progress")
_SECRET = frozenset({"provider_auth", "encryption_key_id"})


class VolumeList(Lister):
    """List volumes, the newest first."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add which ones."""
        return with_choice(super().get_parser(prog_name))

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Read the live rows."""
        found = self.access.records.volumes.list(**chosen(parsed_args))
        heads = ("ID", "Name", "Size (GiB)", "Status", "Attached", "Host")
        return heads, rows(found, _VOLUME)


class VolumeShow(ShowOne):
    """Show a volume, without its secrets; for one in error, the reason."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the id."""
        return with_id(super().get_parser(prog_name))

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Read the row and its metadata."""
        volume = self.access.volume(parsed_args.id)
        kind = volume.volume_type
        snapshots = self.access.records.snapshots.of_volume(volume.id)
        more = {
            **reason_of(self.access, volume),
            "metadata": volume.metadata,
            "image_metadata": volume.glance_metadata,
            "volume_type": kind and kind.name,
            "attachments": [_attachment(one) for one in volume.volume_attachment],
            "snapshots": [snapshot.id for snapshot in snapshots],
        }
        return shown(volume, more)


class SnapshotList(Lister):
    """List snapshots, the newest first."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add which ones."""
        parser = with_choice(super().get_parser(prog_name))
        parser.add_argument("--volume", metavar="ID", help="only those of this volume")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Read the live rows."""
        wanted = chosen(parsed_args)
        if parsed_args.volume:
            wanted["volume_id"] = self.access.volume(parsed_args.volume).id
        found = self.access.records.snapshots.list(**wanted)
        heads = ("ID", "Name", "Volume", "Size (GiB)", "Status", "Progress")
        return heads, rows(found, _SNAPSHOT)


class SnapshotShow(ShowOne):
    """Show a snapshot; for one in error, the reason."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the id."""
        return with_id(super().get_parser(prog_name))

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Read the row and its metadata."""
        snapshot = self.access.snapshot(parsed_args.id)
        more = {"metadata": snapshot.metadata, **reason_of(self.access, snapshot)}
        return shown(snapshot, more)


class ServiceList(Lister):
    """List services as schedulers see them: up, or down for service_down_time seconds."""

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Read the rows and compare their last heartbeats with service_down_time."""
        names, details = ("Binary", "Host", "Zone"), ("Status", "Reason", "Frozen", "Replication")
        heads = (*names, *details, "State", "Last heartbeat", "RPC")
        lines = [
            (
                row.binary,
                row.host,
                row.availability_zone,
                "disabled" if row.disabled else "enabled",
                row.disabled_reason or "",
                "yes" if row.frozen else "no",
                _replication(row),
                "up" if self.access.is_up(row) else "down",
                plain(row.updated_at),
                row.rpc_current_version,
            )
            for row in self.access.records.services.list()
        ]
        return heads, lines


def with_id(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Have a command take an id."""
    parser.add_argument("id", metavar="ID", help="id of the resource; may be abbreviated")
    return parser


def with_choice(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Add the filters of a list."""
    parser.add_argument("--status", help="only those in this status")
    parser.add_argument("--project", metavar="ID", help="only those of this project")
    parser.add_argument("--limit", type=number_of_rows(), metavar="N", help="the newest N")
    return parser


def chosen(options: argparse.Namespace) -> dict[str, Any]:
    """Return the filters of a list, as records take them."""
    wanted = {"status": options.status, "project_id": options.project, "limit": options.limit}
    return {name: value for name, value in wanted.items() if value is not None}


def _replication(service: Record) -> str:
    """Return a service's replication status, with the target that serves in its place."""
    active, status = service.active_backend_id, service.replication_status or ""
    return f"{status} to {active}" if active else status


def _attachment(attachment: Record) -> str:
    where = attachment.attached_host or attachment.instance_uuid or "?"
    return f"{attachment.attach_status} to {where} ({attachment.id})"


def rows(records: Sequence[Record], names: tuple[str, ...]) -> list[tuple[Any, ...]]:
    """Return the lines of a list."""
    return [tuple(plain(record[name]) for name in names) for record in records]


def shown(record: Record, more: dict[str, Any]) -> tuple[list[str], list[Any]]:
    """Return a record's fields that say something, without its secrets."""
    fields = {**record.to_dict(), **more}
    found = {
        name: plain(value)
        for name, value in sorted(fields.items())
        if name not in _SECRET and value not in (None, [], {})
    }
    return list(found), list(found.values())
