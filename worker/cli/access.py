# SPDX-License-Identifier: Apache-2.0
"""Configuration, database, journal and bus of a command, each opened on first use.

Nothing of oslo, SQLAlchemy or taskflow is imported before, so that help is quick.
"""

from __future__ import annotations

import argparse
import datetime
import functools
import logging
import re
import shutil
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from cliff.command import Command as CliffCommand
from cliff.lister import Lister as CliffLister
from cliff.show import ShowOne as CliffShowOne

from flows.errors import NotFound
from flows.secret_texts import masked_text
from worker import file_access
from worker.cli.lookup.candidates import SHOWN, Candidates
from worker.cli.lookup.errors import CommandError as CommandError
from worker.cli.lookup.errors import NoJournal as NoJournal
from worker.cli.output import colour, table_width
from worker.cli.output.printable_errors import with_printable_errors
from worker.journal.entries.listed_entry import concerns
from worker.printable import printable

if TYPE_CHECKING:
    from oslo_config import cfg

    from drivers.interface.records import Record
    from worker.db.database import Database
    from worker.db.records import Records
    from worker.journal.entries.listed_entry import JournalEntry
    from worker.journal.journal import Journal

_LONG_AGO = 10_000
"""How many of the newest flows are searched for a resource."""

KEYED = ("json", "yaml")
"""Formats for programs that name the columns in each row."""

_IDS = ("id", "volume", "snapshot", "source", "image", "which")
"""Names of the arguments that are ids."""

_ADVICE = {
    "Unavailable": "; see [database] connection, and holdfast db sync",
    "DBNonExistentTable": "; holdfast db sync makes the tables",
    "JournalUnavailable": "; see [journal] connection",
    "JournalRefused": "; see holdfast journal check, and holdfast db sync",
}
"""Advice for errors whose text gives none."""


class Access:
    """Everything behind the configuration file.

    :param only_read: whether database and journal are to refuse changes.
    """

    def __init__(
        self, files: list[str], directories: Sequence[str] = (), *, only_read: bool = False
    ) -> None:
        from worker.compat import native_threads  # noqa: F401  before anything of oslo

        self._argv = [f"--config-file={name}" for name in files]
        self._argv += [f"--config-dir={name}" for name in directories]
        self._only_read = only_read

    @functools.cached_property
    def conf(self) -> cfg.ConfigOpts:
        """The configuration."""
        # Late: help needs no configuration, which loads 50 modules.
        from worker import conf

        loaded = conf.load(self._argv, prog="holdfast")
        # A service waits for its database; a person at a terminal wants an error at once.
        loaded.set_override("db_max_retries", 1, group="database")
        # A service's error is shown in one line, whether its class is known here or not.
        logging.getLogger("oslo_messaging._drivers.common").setLevel(logging.CRITICAL)
        return loaded

    @functools.cached_property
    def database(self) -> Database:
        """The database as it is: a command that reads it must not make its file."""
        if text := self._problem_with("database"):
            raise CommandError(text)
        return self.open_database()

    def open_database(self) -> Database:
        """Open the database, or begin one."""
        # Late: SQLAlchemy and taskflow take a second, which help does not need.
        from worker.db.database import Database

        opened = Database.from_conf(self.conf)
        if self._only_read:
            opened.only_read()
        return opened

    @functools.cached_property
    def records(self) -> Records:
        """The records in it."""
        # Late: SQLAlchemy and taskflow take a second, which help does not need.
        from worker.db.records import Records

        return Records.from_conf(self.conf, self.database)

    def is_up(self, service: Record) -> bool:
        """Return whether a service counts as up, by its last heartbeat."""
        return self.records.services.is_up(service, self.conf.service_down_time)

    @functools.cached_property
    def journal(self) -> Journal:
        """The journal as it is: the service and ``db sync`` make it, under their own user."""
        self.require_journal()
        return self.open_journal()

    def require_journal(self) -> None:
        """:raises NoJournal: its file does not exist, or we may not read it."""
        if text := self._problem_with("journal"):
            raise NoJournal(text)

    def _problem_with(self, kind: str) -> str:
        """Return why a file cannot be read, or "". One that we may not see may well be there."""
        if (place := self._file_of(kind)) is None:
            return ""
        if text := file_access.unreadable(place):
            return f"the {kind} {text}: run this as root, or as the user of the service"
        if place.exists():
            return ""
        text = f"there is no {kind} {place}: start the service, or run holdfast db sync"
        known = self.conf.config_file or self.conf.config_dir
        return text if known else f"{text}; no configuration file was found, see --config-file"

    @functools.cached_property
    def journal_file(self) -> Path | None:
        """The file of the journal; None for one on a server."""
        return self._file_of("journal")

    def _file_of(self, section: str) -> Path | None:
        # Late: SQLAlchemy and taskflow take a second, which help does not need.
        from worker import database_url

        return database_url.file_of(self.conf[section].connection)

    def open_journal(self) -> Journal:
        """Open the journal, or begin one."""
        # Late: SQLAlchemy and taskflow take a second, which help does not need.
        from worker.journal.journal import Journal

        try:
            opened = Journal(self.conf.journal.connection)
        except sqlite3.Error as error:
            text = f"the journal cannot be opened ({error}): run this as the service's user"
            raise NoJournal(text) from error
        if self._only_read:
            opened.only_read()
        return opened

    @functools.cached_property
    def bus(self) -> Any:
        """The bus, for one caller."""
        # Late: SQLAlchemy and taskflow take a second, which help does not need.
        from worker.rpc import transport

        return transport.get(self.conf, prefetch=1)

    def close(self) -> None:
        """Close the connection to the bus, whose thread waits for replies."""
        if "bus" in vars(self):
            self.bus.cleanup()

    def flows_of_volume(
        self, wanted: str, among: Sequence[str] | None = None
    ) -> list[JournalEntry]:
        """Return the flows of the volume whose id begins like this, the newest first.

        It may be deleted; one that is not there any more is found in the journal.
        """
        volumes = Candidates("volume", wanted)
        every = self.journal.entries(limit=_LONG_AGO)
        for entry in every:
            kind, _space, volume_id = entry.resource.partition(" ")
            if kind == "volume":
                volumes.add(volume_id, volume_id)
        volume_id = str(volumes.only("volume list") if volumes.any else self.volume(wanted).id)
        return [
            entry
            for entry in every
            if concerns(entry, "volume", volume_id) and (among is None or entry.state in among)
        ]

    def require_own_files(self) -> None:
        """Refuse to make files as root where they should belong to the user of the service."""
        for place in (self._file_of("database"), self._file_of("journal")):
            if place and (owner := file_access.owner_instead_of_root(place)):
                advice = f"run this as the user {owner}: runuser -u {owner} -- holdfast db sync"
                raise CommandError(f"{place} would belong to root, not to {owner}; {advice}")

    def volume(self, wanted: str) -> Record:
        """Return the volume whose id begins like this."""
        return _found("volume", wanted, self.records.volumes)

    def snapshot(self, wanted: str) -> Record:
        """Return the snapshot whose id begins like this."""
        return _found("snapshot", wanted, self.records.snapshots)

    def backup(self, wanted: str) -> Record:
        """Return the backup whose id begins like this."""
        return _found("backup", wanted, self.records.backups)

    def group(self, wanted: str) -> Record:
        """Return the group whose id begins like this."""
        return _found("group", wanted, self.records.groups)

    def flow(self, wanted: str) -> JournalEntry:
        """Return the flow whose id begins like this, or a resource's newest flow."""
        found = Candidates("flow", wanted)
        for rejected in (False, True):
            for entry in self.journal.entries(rejected=rejected, beginning=wanted, limit=SHOWN + 1):
                found.add(entry.flow, entry)
        if not found.is_exact:
            for entry in self.journal.entries(limit=_LONG_AGO):
                kind, _space, resource_id = entry.resource.partition(" ")
                found.add(resource_id, entry, kind)
        return cast("JournalEntry", found.only("flow list --all"))


class _WithAccess:
    """A command that works on something, and whose errors are one line each."""

    app: Any

    @functools.cached_property
    def access(self) -> Access:
        """The resources that a command works on."""
        return Access(self.app.options.config_file)

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return the parser of the command's arguments, without those of a subclass."""
        return with_printable_errors(super().get_parser(prog_name))  # type: ignore[misc]

    def get_epilog(self) -> str:
        """Return the end of the help, which names the package of a command that is not ours.

        Cliff reads the files of every installed package for it, in each run, not only for help.
        """
        if type(self).__module__.startswith(f"{__package__}."):
            return ""
        return str(super().get_epilog())  # type: ignore[misc]

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Run the command; cliff would print all lines of an error, a remote traceback's too."""
        try:
            _require_ids(parsed_args)
            return int(super().run(parsed_args) or 0)  # type: ignore[misc]
        except BrokenPipeError:  # the reader of our output has closed it
            raise
        except Exception as error:
            if self.app.options.debug:
                raise
            raise CommandError(line_of(error)) from error
        finally:
            self.access.close()

    def warn(self, text: str) -> None:
        """Write a warning to standard error."""
        self.app.stderr.write(f"{self.app.NAME}: {printable(text)}\n")


class Command(_WithAccess, CliffCommand):
    """A command that does something, and writes lines in printable characters."""

    def write(self, *lines: str) -> None:
        """Write lines; line breaks within one are escaped."""
        stream = self.app.stdout
        stream.writelines(f"{colour.printable_line(line, stream)}\n" for line in lines)
        stream.flush()


class _Printed:
    """A command whose texts of others are shown in printable characters to a person.

    Formats for programs get them as they are, unless they go to a terminal, and columns as keys.
    """

    app: Any

    def produce_output(self, parsed_args: argparse.Namespace, columns: Any, data: Any) -> int:
        """Print columns and data."""
        if parsed_args.formatter in KEYED:
            columns = [key_of(name) for name in columns]
        if parsed_args.formatter == "table" or self.app.stdout.isatty():
            columns, data = _printable(list(columns)), _printable(list(data))
        return int(super().produce_output(parsed_args, columns, data))  # type: ignore[misc]


class Lister(_WithAccess, _Printed, CliffLister):
    """A command that prints rows."""

    def produce_output(self, parsed_args: argparse.Namespace, columns: Any, data: Any) -> int:
        """Print columns and rows, in the width of a terminal where they are for a person."""
        if parsed_args.formatter == "table" and self.app.stdout.isatty():
            width = shutil.get_terminal_size().columns
            columns, data = table_width.fitted(list(columns), [*map(list, data)], width)
        return super().produce_output(parsed_args, columns, data)


class ShowOne(_WithAccess, _Printed, CliffShowOne):
    """A command that prints one thing."""


def _printable(value: Any) -> Any:
    """Return a value of a table, or all of a row or of rows, in printable characters."""
    if isinstance(value, str):
        return printable(value, keep="\n")
    if isinstance(value, list | tuple):
        return [_printable(one) for one in value]
    if isinstance(value, dict):
        return {_printable(key): _printable(one) for key, one in value.items()}
    return value


def key_of(column: str) -> str:
    """Return the name of a column in snake_case, as ``size_gib`` for ``Size (GiB)``."""
    return re.sub(r"[^0-9a-z]+", "_", column.lower()).strip("_")


def plain(value: Any) -> Any:
    """Return a value in a form that every output format has: times as text, no None."""
    if value is None:
        return ""
    return str(value) if isinstance(value, datetime.datetime) else value


def _require_ids(parsed_args: argparse.Namespace) -> None:
    """Refuse an empty id, as of a shell variable without a value, instead of ignoring it."""
    for name in _IDS:
        value = getattr(parsed_args, name, None)
        values = value if isinstance(value, list) else [value]
        if any(isinstance(one, str) and not one.strip() for one in values):
            of = {"id": "", "which": " of the flow"}.get(name, f" of the {name}")
            raise CommandError(f"the id{of} is missing")


def _found(kind: str, wanted: str, rows: Any) -> Record:
    found = Candidates(kind, wanted)
    try:
        return rows.get(wanted)  # type: ignore[no-any-return]
    except NotFound:
        for row in rows.list():
            found.add(str(row.id), row)
    return cast("Record", found.only(f"{kind} list"))


def line_of(error: Exception) -> str:
    """Return an error as one line in printable characters, with advice."""
    kind = type(error).__name__
    text = (str(error).strip().splitlines() or [kind])[0]
    return printable(masked_text(text)) + _ADVICE.get(kind, "")
