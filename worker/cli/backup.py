# SPDX-License-Identifier: Apache-2.0
"""holdfast backup: make, watch, verify, restore and delete backups."""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import TYPE_CHECKING, Any

from oslo_utils import units

from drivers.interface.errors import BackupDriverException
from drivers.interface.pace import Pace
from flows.statuses import BackupStatus
from worker.cli.access import Command, CommandError, Lister, ShowOne, plain
from worker.cli.casting import on_demand
from worker.cli.chains.own_store import OwnStore
from worker.cli.flow import Cancel as FlowCancel
from worker.cli.output import copy_progress
from worker.cli.volume import chosen, shown, with_choice, with_id

if TYPE_CHECKING:
    from drivers.interface.records import Record
    from worker.cli.casting.backup_requests import BackupRequests
    from worker.cli.casting.requests import Sent

_WAIT = 86400.0
_UNDER_WAY = (BackupStatus.CREATING, BackupStatus.RESTORING)
_MOVING = ("Done", "Copied", "Speed", "Left")
_LINE = 0.5
"""Seconds between two lines of progress."""


class List(Lister):
    """List backups, the newest first, with the progress of running ones."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add which ones."""
        parser = with_choice(super().get_parser(prog_name))
        parser.add_argument("--volume", metavar="ID", help="only those of this volume")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Read the live rows, and the journal."""
        wanted = chosen(parsed_args)
        if parsed_args.volume:
            wanted["volume_id"] = self.access.volume(parsed_args.volume).id
        found = self.access.records.backups.list(**wanted)
        moving = {one.id: one.size or 0 for one in found if one.status in _UNDER_WAY}
        progress = copy_progress.under_way(self.access, moving, self.warn) if moving else {}
        heads = ("ID", "Name", "Volume", "Size (GiB)", "Kind", "Status")
        return (*heads, *_MOVING), [_line(one, progress.get(one.id)) for one in found]


class Show(ShowOne):
    """Show a backup, with its progress while it is made or restored."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the id."""
        return with_id(super().get_parser(prog_name))

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Read the row, the backups that belong to it, and the journal."""
        backup = self.access.backup(parsed_args.id)
        more: dict[str, Any] = {
            "kind": _kind(backup),
            "needed_by": self.access.records.backups.dependants(backup.id),
        }
        if backup.status in _UNDER_WAY:
            sizes = {backup.id: backup.size or 0}
            progress = copy_progress.under_way(self.access, sizes, self.warn).get(backup.id)
            more |= {"progress": str(progress)} if progress else {}
        return shown(backup, more)


class _Asking(Command):
    """A request to the backup service."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add whether to wait."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        add = parser.add_argument
        wait = "wait for the end, and show the tasks"
        add("--wait", nargs="?", type=float, const=_WAIT, metavar="SECONDS", help=wait)
        return parser

    def requests(self, options: argparse.Namespace) -> BackupRequests:
        """Return the object that makes requests."""
        access = self.access
        host, project = getattr(options, "host", None), getattr(options, "project", "admin")
        _ = access.conf  # before the modules that it configures are imported
        return on_demand.backup_requests(access, project, host)

    def sent(self, sent: Sent, options: argparse.Namespace) -> None:
        """Print the request, and wait for its end if asked."""
        if sent.resource is not None:
            self.write(f"{sent.resource.kind} {sent.resource.id}")
        if options.wait is not None:
            ended = on_demand.wait_for_end(self.access, sent, self.write, options.wait)
            self.write(ended)


class Create(_Asking):
    """Back up a volume or a snapshot.

    Examples:
      holdfast backup create --volume ID --name nightly --wait
      holdfast backup create --volume ID --incremental --force
      holdfast backup create --snapshot ID
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the source and the kind of the backup."""
        parser = super().get_parser(prog_name)
        parser.formatter_class = argparse.RawDescriptionHelpFormatter
        source = parser.add_mutually_exclusive_group(required=True)
        source.add_argument("--volume", metavar="ID", help="the volume")
        source.add_argument("--snapshot", metavar="ID", help="the snapshot")
        add = parser.add_argument
        add("--incremental", action="store_true", help="only blocks changed since the last backup")
        add(
            "--force",
            action="store_true",
            help="also of a volume in use, whose data is that of one moment",
        )
        add("--name", help="display name")
        add("--description", help="display description")
        add("--container", help="container in the store (default: one that the store chooses)")
        add("--host", help="host of the backup service (default: the only one)")
        add("--project", default="admin", help="project of the backup (default: admin)")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Make the row, and send."""
        options, access = parsed_args, self.access
        snapshot = access.snapshot(options.snapshot) if options.snapshot else None
        volume = snapshot.volume if snapshot is not None else access.volume(options.volume)
        sent = self.requests(options).create(
            volume,
            snapshot,
            incremental=options.incremental,
            force=options.force,
            display_name=options.name,
            display_description=options.description,
            container=options.container,
        )
        self.sent(sent, options)


class Restore(_Asking):
    """Restore a backup to a volume, whose data is overwritten.

    A larger volume keeps its data behind the end of the backup. To restore to a new volume, make it
    with holdfast cast create_volume --size N --wait, and restore with --new, so that no zeros are
    written.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the backup and the target volume."""
        parser = with_id(super().get_parser(prog_name))
        parser.formatter_class = argparse.RawDescriptionHelpFormatter
        parser.add_argument("--volume", metavar="ID", required=True, help="the volume")
        parser.add_argument(
            "--new", action="store_true", help="the volume is new and reads as zeros"
        )
        past = "leave damaged objects out, and list them in the log and in the backup's fail_reason"
        parser.add_argument("--past-damage", action="store_true", help=past)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Set the statuses, and send."""
        backup, volume = self.access.backup(parsed_args.id), self.access.volume(parsed_args.volume)
        kind = {"new": parsed_args.new, "past_damage": parsed_args.past_damage}
        self.sent(self.requests(parsed_args).restore(backup, volume, **kind), parsed_args)
        if parsed_args.past_damage and parsed_args.wait is not None:
            reason = self.access.backup(backup.id).fail_reason
            self.write(reason if reason and volume.id in reason else "all of it was restored")


class Delete(_Asking):
    """Delete a backup.

    A backup that others build on is deleted with --hand-on only: each of them is stored anew, on
    the backup before the deleted one, without reading a volume. They stay available meanwhile.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add which one."""
        parser = with_id(super().get_parser(prog_name))
        parser.formatter_class = argparse.RawDescriptionHelpFormatter
        force = "also while it is being made or restored: that operation ends"
        which = parser.add_mutually_exclusive_group()
        which.add_argument("--force", action="store_true", help=force)
        hand_on = "also where others build on it: its data is stored with them"
        which.add_argument("--hand-on", action="store_true", help=hand_on)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Send, as the API does; one that is handed on keeps its status for now."""
        backup = self.access.backup(parsed_args.id)
        kind = {"force": parsed_args.force, "hand_on": parsed_args.hand_on}
        self.sent(self.requests(parsed_args).delete(backup, **kind), parsed_args)


class Consolidate(_Asking):
    """Make a full backup of an incremental one, without reading the volume.

    Its data is stored anew, with that of the backups that it builds on: whole objects are copied
    by the store itself where it can, parts of others are read and joined. The backup stays
    available meanwhile. Those that it was built on can be deleted then.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add which one."""
        parser = with_id(super().get_parser(prog_name))
        parser.formatter_class = argparse.RawDescriptionHelpFormatter
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Send the request."""
        backup = self.access.backup(parsed_args.id)
        self.sent(self.requests(parsed_args).consolidate(backup), parsed_args)


class Export(_Asking):
    """Print a backup's record, by which another installation can import it."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add which one."""
        return with_id(super().get_parser(prog_name))

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Ask the service."""
        backup = self.access.backup(parsed_args.id)
        record = json.dumps(self.requests(parsed_args).export(backup), indent=2)
        self.write(*record.split("\n"))


class Import(_Asking):
    """Take over a backup by its record, as ``backup export`` prints it."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add where the record is."""
        parser = super().get_parser(prog_name)
        add = parser.add_argument
        add("file", metavar="FILE", help="the record; - reads it from the standard input")
        add("--host", help="host of the backup service (default: the only one)")
        add("--project", default="admin", help="project of the backup (default: admin)")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Make the row, and send."""
        exported = _exported_record(parsed_args.file)
        requests = self.requests(parsed_args)
        # Late: SQLAlchemy and taskflow take a second, which help does not need.
        from flows.backup import imported_record

        record = imported_record.decoded(exported["backup_url"])
        if not isinstance(record.get("id"), str):
            raise CommandError("the record has no id")
        self.sent(requests.import_record(record, exported), parsed_args)


class Cancel(FlowCancel):
    """End a running backup or restore, and revert it.

    A backup ends in error, and its source is as before; a volume that was
    being restored has no usable data.
    """


class Verify(Command):
    """Read a backup, and all that it builds on, and compare every checksum.

    Nothing is restored and nothing is changed. It is read by this command itself, with
    the options of the configuration file.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add which one."""
        return with_id(super().get_parser(prog_name))

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Read it here."""

        access = self.access
        backup = access.backup(parsed_args.id)
        if backup.status not in (BackupStatus.AVAILABLE, BackupStatus.RESTORING):
            raise CommandError(f"backup {backup.id} is {backup.status}: there is nothing to verify")
        store = OwnStore(access)
        store.require(backup)
        driver, line = store.driver(), _ProgressLine(self.app, backup)
        try:
            store.require_directory(driver)
            driver.verify(backup, pace=Pace(progress=line.show))
        except BackupDriverException as error:
            raise CommandError(f"backup {backup.id} cannot be restored: {error}") from error
        except NotImplementedError as error:
            reason = str(error) or f"{backup.service} cannot verify backups"
            raise CommandError(reason) from error
        finally:
            line.end()
        self.write(f"backup {backup.id} is whole: {line.summary}")


class _ProgressLine:
    """Shows the progress of a verification on a terminal."""

    def __init__(self, app: Any, backup: Record) -> None:
        self._app = app
        self._size = 0
        self._began = time.monotonic()
        self._shown_at = 0.0
        self._shows = app.stderr.isatty()
        one: Record | None = backup
        while one is not None:
            self._size += (one.size or 0) * units.Gi
            one = one.parent

    def show(self, fraction: float) -> None:
        """Show the fraction that is done, at most twice a second."""
        now = time.monotonic()
        if self._shows and now - self._shown_at >= _LINE:
            self._shown_at = now
            shown = copy_progress.TransferProgress(fraction, self._size, now - self._began)
            self._app.stderr.write(f"\r{shown}\x1b[K")
            self._app.stderr.flush()

    def end(self) -> None:
        """Clear the line."""
        if self._shows:
            self._app.stderr.write("\r\x1b[K")

    @property
    def summary(self) -> str:
        """How long it took."""
        return f"read and compared in {time.monotonic() - self._began:.1f} s"


def _kind(backup: Record) -> str:
    return "incremental" if backup.parent_id else "full"


def _line(backup: Record, progress: Any) -> tuple[Any, ...]:
    columns = ("",) * len(_MOVING)
    if progress:
        columns = (
            progress.percent,
            progress.copied,
            progress.rate,
            progress.left,
        )
    names = ("id", "display_name", "volume_id", "size")
    return (*(plain(backup[name]) for name in names), _kind(backup), backup.status, *columns)


def _exported_record(file: str) -> dict[str, Any]:
    try:
        if file == "-":
            exported = json.load(sys.stdin)
        else:
            with open(file, encoding="utf-8") as opened:
                exported = json.load(opened)
    except (OSError, ValueError) as error:
        raise CommandError(f"{file} cannot be read: {error}") from error
    wanted = ("backup_service", "backup_url")
    if not isinstance(exported, dict) or not all(
        isinstance(exported.get(name), str) for name in wanted
    ):
        raise CommandError(f"{file} has no {' and '.join(wanted)}, as backup export prints them")
    return {name: exported[name] for name in wanted}
