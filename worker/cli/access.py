# SPDX-License-Identifier: Apache-2.0
"""What commands work on, opened when it is first needed: configuration, database, journal, bus."""

from __future__ import annotations

import functools
from typing import Any

from cliff.command import Command as CliffCommand
from cliff.lister import Lister as CliffLister
from cliff.show import ShowOne as CliffShowOne
from oslo_config import cfg

from worker.db.engine import Database
from worker.db.records import Records
from worker.journal import Entry, Journal


class CommandError(Exception):
    """What the person at the command line is told, in one line."""


class Access:
    """Everything behind the configuration file."""

    def __init__(self, files: list[str]) -> None:
        self._files = files

    @functools.cached_property
    def conf(self) -> cfg.ConfigOpts:
        """The configuration."""
        from worker import conf

        argv = [f"--config-file={name}" for name in self._files]
        return conf.load(argv, prog="holdfast")

    @functools.cached_property
    def database(self) -> Database:
        """The database."""
        return Database.from_conf(self.conf)

    @functools.cached_property
    def records(self) -> Records:
        """The records in it."""
        return Records.from_conf(self.conf, self.database)

    @functools.cached_property
    def journal(self) -> Journal:
        """The journal; made when there is none yet."""
        journal = Journal(self.conf.journal.connection)
        journal.upgrade()
        return journal

    def flow(self, wanted: str) -> Entry:
        """Return the one flow whose id, or whose resource's id, begins like this."""
        found = [
            entry
            for entry in self.journal.entries()
            if entry.flow.startswith(wanted) or entry.resource.partition(" ")[2].startswith(wanted)
        ]
        exact = [entry for entry in found if entry.flow.startswith(wanted)] or found
        if not exact:
            raise CommandError(f"no flow {wanted}; see: holdfast flow list --all")
        return exact[0]


class _WithAccess:
    app: Any

    @functools.cached_property
    def access(self) -> Access:
        """What the command works on."""
        return Access(self.app.options.config_file)


class Command(_WithAccess, CliffCommand):
    """A command that does something."""


class Lister(_WithAccess, CliffLister):
    """A command that prints rows."""


class ShowOne(_WithAccess, CliffShowOne):
    """A command that prints one thing."""
