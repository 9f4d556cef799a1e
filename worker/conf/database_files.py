# SPDX-License-Identifier: Apache-2.0
"""The database and the journal as files in SQLite: this process has to be able to write them."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from oslo_config import cfg

from worker import database_url, file_access
from worker.conf.check import config_files
from worker.conf.check.problems import ConfigError

_OPTION = cfg.StrOpt("connection")


def require_writable(conf: cfg.ConfigOpts) -> None:
    """Require that the database and the journal, where they are files, can be written.

    A file that does not exist is not missed here.

    :raises ConfigError: one belongs to another user; with the command that mends it.
    """
    for section in ("database", "journal"):
        if (path := _file_of(conf[section].connection)) and (
            problem := file_access.unwritable(path)
        ):
            raise ConfigError(config_files.of(conf).problem(section, _OPTION, problem))


def _file_of(address: str) -> Path | None:
    try:
        return database_url.file_of(address)
    except sa.exc.ArgumentError:  # reported elsewhere
        return None
