# SPDX-License-Identifier: Apache-2.0
"""The configuration files as they are written: every assignment with its line.

oslo.config knows from which file a value came, not from which line; an operator
with the line number an operator finds the mistake at once.
"""

from __future__ import annotations

import argparse
import errno
import glob
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from oslo_config import cfg, iniparser

from drivers.compat.oslo_config import LineParser
from worker.conf.check.problems import ConfigError, Problem

SYSTEM = "/etc"


@dataclass(frozen=True)
class ConfigEntry:
    """An assignment, or the head of a section where ``option`` is None."""

    file: str
    line: int
    section: str
    option: str | None
    value: str


class ConfigFiles:
    """All assignments of some files, in the order in which they take effect."""

    def __init__(self, files: Iterable[str]) -> None:
        self.files = list(files)
        self.entries = [entry for file in self.files for entry in _read(file)]

    def find(self, section: str, option: cfg.Opt) -> ConfigEntry | None:
        """Return the assignment that sets the option, looked up as oslo.config does."""
        names = {(section.lower(), name) for name in (option.dest, option.name)}
        for old in option.deprecated_opts:
            place = (old.group or section).lower()
            names |= {(place, name) for name in _spellings(old.name or option.dest)}
        for entry in reversed(self.entries):
            if (entry.section.lower(), entry.option) in names:
                return entry
        return None

    def head(self, section: str) -> ConfigEntry | None:
        """Return where a section begins."""
        for entry in self.entries:
            if entry.option is None and entry.section.lower() == section.lower():
                return entry
        return None

    def problem(self, section: str, option: cfg.Opt, text: str, *, fatal: bool = True) -> Problem:
        """Return a problem with an option, placed at its assignment."""
        entry, name = self.find(section, option), option.name.replace("-", "_")
        if entry is None:
            return Problem(None, None, section, name, text, fatal)
        return Problem(entry.file, entry.line, entry.section, name, text, fatal)


def chosen(
    argv: Sequence[str], project: str, prog: str, defaults: Sequence[str] | None = None
) -> list[str]:
    """Return the files that oslo.config will read for this command line.

    :raises ConfigError: a file or a directory that was asked for does not exist, or it cannot be
        seen whether one of the usual files does.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config-file", action="append", dest="files")
    parser.add_argument("--config-dir", action="append", dest="dirs")
    known, _ = parser.parse_known_args(list(argv))
    files = known.files
    if files is None:
        _require_reachable(project)
        files = defaults if defaults is not None else cfg.find_config_files(project, prog)
    dirs = known.dirs
    if dirs is None:
        dirs = [path for path in cfg.find_config_dirs(project, prog) if os.path.isdir(path)]
    return [os.path.expanduser(file) for file in files] + _inside(dirs)


def _require_reachable(project: str) -> None:
    """Require that the directory of the configuration can be searched, if there is one.

    oslo.config takes a file that we may not see for one that does not exist, and continues with
    defaults.
    """
    file = os.path.join(SYSTEM, project, f"{project}.conf")
    try:
        os.stat(file)
    except PermissionError as error:
        raise ConfigError(_unreadable(file, error)) from None
    except OSError:
        return


def _unreadable(file: str, error: OSError) -> Problem:
    text = error.strerror or ""
    if isinstance(error, PermissionError):
        text += ": run this as root, or as the user of the service"
    return Problem(file, None, None, None, text)


def of(conf: cfg.ConfigOpts) -> ConfigFiles:
    """Return the files that a parsed configuration was read from."""
    dirs = [path for path in conf.config_dir or [] if os.path.isdir(path)]
    return ConfigFiles([*(conf.config_file or []), *_inside(dirs)])


def _inside(dirs: Iterable[str]) -> list[str]:
    files = []
    for path in map(os.path.expanduser, dirs):
        if not os.path.isdir(path):
            raise ConfigError(Problem(path, None, None, None, "there is no such directory"))
        if not os.access(path, os.R_OK | os.X_OK, effective_ids=True):
            denied = PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
            raise ConfigError(_unreadable(path, denied))
        files += sorted(glob.glob(os.path.join(path, "*.conf")))
    return files


def _spellings(name: str) -> set[str]:
    return {name, name.replace("-", "_")}


def _read(file: str) -> list[ConfigEntry]:
    try:
        with open(file, encoding="utf-8") as lines:
            parser = _Lines(file)
            parser.parse(lines)
    except iniparser.ParseError as error:
        problem = Problem(file, error.lineno, None, None, f"{error.msg}: {error.line!r}")
        raise ConfigError(problem) from None
    except UnicodeDecodeError as error:
        raise ConfigError(Problem(file, None, None, None, f"not UTF-8: {error}")) from None
    except OSError as error:
        raise ConfigError(_unreadable(file, error)) from None
    return parser.entries


class _Lines(LineParser):
    """oslo.config's own parser, which also keeps the lines."""

    def __init__(self, file: str) -> None:
        super().__init__()
        self.entries: list[ConfigEntry] = []
        self._file = file
        self._section: str | None = None

    def new_section(self, section: str) -> None:
        self._section = section
        self.entries.append(ConfigEntry(self._file, self.lineno, section, None, ""))

    def assignment(self, key: str, value: list[str]) -> None:
        if self._section is None:
            raise self.parse_exc("an assignment before the first section", self.begin, key)
        self.entries.append(
            ConfigEntry(self._file, self.begin, self._section, key, "\n".join(value))
        )
