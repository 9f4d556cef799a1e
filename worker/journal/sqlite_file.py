# SPDX-License-Identifier: Apache-2.0
"""File of a journal in SQLite: check it, replace a damaged one, restore a removed one.

A file that is removed while processes use it still exists without a name: casts are accepted
into it, and all of them are lost when the last process ends. So each process watches the file,
and writes its content to a file again before it ends.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from oslo_utils import timeutils, units

LOG = logging.getLogger(__name__)

CHECKED_AT_START = 64 * units.Mi
"""Bytes of a journal up to which its whole content is checked at a start."""

_SHOWN = 20
"""Problems of one check that are shown."""

_TABLES = ("logbooks", "flowdetails", "atomdetails")
"""Tables whose rows are copied from a damaged journal, parents first."""

_SCHEMA = (
    "SELECT sql FROM sqlite_master WHERE (type = 'table' AND sql LIKE 'CREATE TABLE %') OR"
    " (type = 'index' AND (sql LIKE 'CREATE INDEX %' OR sql LIKE 'CREATE UNIQUE INDEX %'))"
    " ORDER BY type DESC"
)
"""The statements that make the tables: no triggers, views or virtual tables, which we have not."""

_WAIT = 30.0
"""Seconds that a statement waits for the lock of another process."""

_LOG = "-wal"
"""Suffix of the write-ahead log, which has the last transactions."""

_BESIDE = (_LOG, "-shm")
"""Suffixes of the files that belong to a database."""


@dataclass(frozen=True)
class PutAside:
    """A damaged journal that was replaced.

    :param path: where it is now.
    :param copied: number of its operations that the new journal has; None where it could not
        be read completely, so that the new one is empty.
    """

    path: Path
    copied: int | None


def problems(path: Path, *, at_start: bool = False) -> list[str]:
    """Return the problems of a journal's file; an empty list if it is sound or absent.

    :param at_start: whether a large file is only opened, and not read as a whole.
    """
    if not path.exists():
        return []
    if not path.is_file():
        return ["it is no regular file"]
    if path.stat().st_size == 0:
        return (
            ["it is empty, and its log is not: SQLite would delete the log"] if _log(path) else []
        )
    whole = not at_start or path.stat().st_size <= CHECKED_AT_START
    try:
        with contextlib.closing(_read_only(path)) as connection:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            if not whole:
                return []
            check = f"PRAGMA {'quick_check' if at_start else 'integrity_check'}({_SHOWN})"
            found = [str(row[0]) for row in connection.execute(check)]
    except sqlite3.OperationalError as error:
        return [] if "locked" in str(error) else [str(error)]
    except sqlite3.DatabaseError as error:
        return [str(error)]
    return [] if found == ["ok"] else found


def size(path: Path) -> int:
    """Return the bytes of a journal's file and of the files beside it."""
    total = 0
    for suffix in ("", *_BESIDE):
        with contextlib.suppress(FileNotFoundError):
            total += os.stat(f"{path}{suffix}").st_size
    return total


def users(path: Path) -> list[int]:
    """Return the ids of the processes, as far as they can be seen, that have the file open."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                links = [os.path.realpath(link) for link in (entry / "fd").iterdir()]
                if str(path.resolve()) in links:
                    found.append(int(entry.name))
    return sorted(found)


def put_aside(path: Path) -> PutAside:
    """Rename a journal that no process uses, and copy its operations to a new one.

    Nothing is copied unless every row can be read: an operation without its progress would be
    run from its start.
    """
    aside = path.with_name(f"{path.name}.damaged-{_moment()}")
    for suffix in ("", *_BESIDE):
        with contextlib.suppress(FileNotFoundError):
            os.rename(f"{path}{suffix}", f"{aside}{suffix}")
    part = path.with_name(f"{path.name}.part")
    part.unlink(missing_ok=True)
    try:
        copied = _copy(aside, part)
    except sqlite3.DatabaseError:
        part.unlink(missing_ok=True)
        return PutAside(aside, None)
    os.replace(part, path)
    return PutAside(aside, copied)


class WatchedFile:
    """The file of a journal that this process uses.

    :param path: the file, which exists.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        # Opened now: a connection that is made after the removal leads to another file.
        self._connection = sqlite3.connect(path, check_same_thread=False, timeout=_WAIT)
        # A statement opens the write-ahead log, which may be removed as well.
        self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        self._found = path.stat()
        self._sizes = _files(path)

    def close(self) -> None:
        """Close the connection that the content would be read from."""
        self._connection.close()

    def is_in_place(self) -> bool:
        """Return whether the names still lead to the files that this process uses.

        Neither the file nor its log ever gets shorter while they are in use.
        """
        try:
            found = _files(self.path)
            if any(found.get(file, -1) < size for file, size in self._sizes.items()):
                return False
            self._sizes = {file: found[file] for file in self._sizes}
            return True
        except FileNotFoundError:
            return False
        except OSError:  # of a file system that does not answer; it is asked again
            return True

    def damage(self) -> str | None:
        """Return the first problem of the content; None if it is sound, or large."""
        try:
            if self.path.stat().st_size > CHECKED_AT_START:
                return None
            self._connection.execute("PRAGMA shrink_memory")  # read the file, not a cache
            found = str(self._connection.execute("PRAGMA quick_check(1)").fetchone()[0])
        except OSError:
            return None  # not in place, which is checked more often
        except sqlite3.OperationalError as error:
            LOG.debug("the journal %s cannot be checked: %s", self.path, error)
            return None
        except sqlite3.DatabaseError as error:
            return str(error)
        return None if found == "ok" else found.splitlines()[0]

    def preserve(self) -> Path:
        """Write the content of the file to its old name, or beside a journal of that name.

        The processes of a service do that one after the other; the last one knows the most.

        :raises sqlite3.Error: it cannot be written.
        """
        part = self.path.with_name(f"{self.path.name}.part-{os.getpid()}")
        part.unlink(missing_ok=True)
        self._connection.execute("VACUUM INTO ?", (str(part),))
        with contextlib.closing(_new(part)) as written:
            # Without the table the log of the removed file was overwritten by another journal.
            written.execute("SELECT count(*) FROM flowdetails").fetchone()
            written.execute(f"PRAGMA user_version={self._number}")
        target = self.path
        if not self._may_replace(target):
            target = target.with_name(f"{target.name}.removed-{_moment()}")
        for suffix in _BESIDE:
            Path(f"{target}{suffix}").unlink(missing_ok=True)
        os.replace(part, target)
        return target

    def _may_replace(self, path: Path) -> bool:
        """Return whether a file is absent, without operations, or ours, or a copy of ours."""
        try:
            if os.path.samestat(self._found, path.stat()):
                return True
        except OSError:
            return not path.exists()
        try:
            with contextlib.closing(_read_only(path)) as connection:
                if connection.execute("PRAGMA user_version").fetchone()[0] == self._number:
                    return True
                return not connection.execute("SELECT 1 FROM flowdetails LIMIT 1").fetchall()
        except sqlite3.OperationalError as error:
            return "no such table" in str(error) or not path.exists()
        except sqlite3.DatabaseError:
            return False

    @property
    def _number(self) -> int:
        """A number that copies of the same file share."""
        return self._found.st_ino & 0x7FFFFFFF


def _files(path: Path) -> dict[tuple[int, int], int]:
    """Return the sizes of a database and of its log by their identities."""
    found = [path.stat()]
    with contextlib.suppress(FileNotFoundError):
        found.append(Path(f"{path}{_LOG}").stat())
    return {(one.st_dev, one.st_ino): one.st_size for one in found}


def _log(path: Path) -> int:
    """Return the size of a database's log."""
    try:
        return Path(f"{path}{_LOG}").stat().st_size
    except FileNotFoundError:
        return 0


def _copy(source: Path, target: Path) -> int:
    if source.stat().st_size == 0:
        raise sqlite3.DatabaseError("the file is empty")
    with contextlib.closing(_read_only(source)) as old, contextlib.closing(_new(target)) as new:
        for (statement,) in old.execute(_SCHEMA).fetchall():
            new.execute(statement)
        for table in _TABLES:
            for row in _rows(old, table):
                marks = ", ".join("?" * len(row))
                new.execute(f"INSERT INTO {table} VALUES ({marks})", row)  # noqa: S608 - our names
        new.commit()
        return int(new.execute("SELECT count(*) FROM flowdetails").fetchone()[0])


def _rows(connection: sqlite3.Connection, table: str) -> Iterator[tuple[object, ...]]:
    """Yield the rows of a table, without its indexes, which may be damaged."""
    return iter(connection.execute(f"SELECT * FROM {table} NOT INDEXED"))  # noqa: S608


def _read_only(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=_WAIT)
    connection.execute("PRAGMA cell_size_check=on")
    return connection


def _new(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode=wal")
    return connection


def _moment() -> str:
    return timeutils.utcnow().strftime("%Y%m%dT%H%M%S")
