# SPDX-License-Identifier: Apache-2.0
"""Marker file in the directory of a backend: detects a missing mount at the start.

After a reboot without its disk, a backend that keeps files would find an empty directory,
report its volumes as missing, and create new ones on the disk of the system. So the first use
of a directory writes an id into it and into ``state_path``. Later starts require the same id;
without it the driver is not set up, and no row is changed.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import tempfile
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from drivers.interface.optional import FILES_MARKER
from worker.outage_log import FailureLog

LOG = logging.getLogger(__name__)

MARKER = FILES_MARKER
"""Name of the marker; an empty file of this name accepts the directory as it is."""

_FOLDER = "directories"
"""Directory in ``state_path`` with the remembered ids."""

_NO_CONTENT = ("lost+found",)
"""Names in the root of an empty file system."""

_MODE = 0o640


class NotMounted(Exception):
    """The directory is not the one that the backend used before; nothing was changed."""


@dataclass(frozen=True)
class Mark:
    """The content of a marker.

    :param backend: the backend that wrote it, for operators.
    """

    backend: str
    id: str

    def text(self) -> str:
        """Return the content of the file."""
        return json.dumps({"backend": self.backend, "id": self.id}) + "\n"

    @staticmethod
    def read(path: Path) -> Mark | None:
        """Return a stored mark, or None if the file does not exist, or is empty.

        :raises NotMounted: the file is no marker.
        """
        try:
            content = path.read_text(encoding="utf-8")
            if not content.strip():
                return None
            found = json.loads(content)
            return Mark(str(found["backend"]), str(found["id"]))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise NotMounted(f"the marker {path} cannot be read: {error}") from error


class DirectoryMark:
    """Checks the directory of one backend before its driver uses it.

    :param backend: ``host@backend``, or the host of a backup service.
    :param state_path: the service's directory for state.
    :param used: returns whether rows in the database say that the backend holds data.
    """

    def __init__(self, backend: str, state_path: str, used: Callable[[], bool]) -> None:
        self._backend = backend
        self._state = Path(state_path) / _FOLDER / f"{quote(backend, safe='@ ')}.json"
        self._used = used
        self._log = FailureLog(LOG)

    def check(self, driver: Any) -> None:
        """Check the directory of a driver that is not set up yet, if it has one.

        :raises NotMounted: the text has the remedy.
        """
        place = getattr(driver, "files_directory", lambda: None)()
        if place is None:
            return
        try:
            self.check_directory(Path(place))
        except OSError as error:
            # The driver's own check of the directory says more, and each attempt comes here.
            reason, line = error.strerror or error, "%s is not marked as the directory of %s: %s"
            shown = (place, self._backend, reason)
            self._log.failed(reason, line, *shown, level=logging.WARNING)
        else:
            self._log.succeeded()

    def check_directory(self, directory: Path) -> None:
        """Find the marker of the backend, or write it at the first use.

        :raises NotMounted: the text has the remedy.
        """
        marker = directory / MARKER
        found, known = Mark.read(marker), Mark.read(self._state)
        if found is None:
            if not marker.exists():
                self._require_first_use(directory, known)
            found = self._write(marker, known or Mark(self._backend, str(uuid.uuid4())))
        if known is None:
            self._remember(found)
        else:
            self._require_same(directory, found, known)

    def require(self, directory: Path) -> None:
        """Check, without writing, that a directory may be the one of the backend.

        :raises NotMounted: it has lost its marker, has another one, or is empty.
        """
        marker = directory / MARKER
        found, known = Mark.read(marker), Mark.read(self._state)
        if found is None and not marker.exists():
            self._require_first_use(directory, known)
        if found is not None and known is not None:
            self._require_same(directory, found, known)

    def _require_same(self, directory: Path, found: Mark, known: Mark) -> None:
        if known.id != found.id:
            raise NotMounted(
                f"{directory} belongs to {found.backend} ({found.id}), and {self._backend} used"
                f" {known.id} before: mount its file system there, or remove {self._state} to"
                " accept this directory"
            )

    def _require_first_use(self, directory: Path, known: Mark | None) -> None:
        if known is not None:
            self._refuse(directory, f"{self._backend} has used it before (id {known.id})")
        if _is_empty(directory) and self._used():
            self._refuse(directory, f"the database has data of {self._backend} in it")

    def _refuse(self, directory: Path, reason: str) -> None:
        raise NotMounted(
            f"{directory} has no file {MARKER}, and {reason}: mount its file system there, or,"
            f" if the directory is right as it is, run: touch {directory / MARKER}"
        )

    def _write(self, marker: Path, mark: Mark) -> Mark:
        """Write the marker unless another process has; return the one that is there."""
        marker.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _written(marker.parent, mark) as temporary:
            if marker.exists():  # an empty one, which accepts the directory
                os.replace(temporary, marker)
            else:
                try:
                    os.link(temporary, marker)
                except FileExistsError:
                    LOG.debug("another process has written %s", marker)
                except OSError:  # a file system without hard links
                    os.replace(temporary, marker)
        _sync(marker.parent)
        LOG.info("%s is marked as the directory of %s", marker.parent, mark.backend)
        return Mark.read(marker) or mark

    def _remember(self, mark: Mark) -> None:
        self._state.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        with _written(self._state.parent, mark) as temporary:
            os.replace(temporary, self._state)
        _sync(self._state.parent)


class DirectoryGuard:
    """Finds the mark again while the service lives, and keeps the backend down without it.

    :param mark: checked by :meth:`check`, which a thread calls that no operation waits for.
    :param name: of the backend, for the log.
    """

    def __init__(self, mark: DirectoryMark, name: str) -> None:
        self._mark = mark
        self._name = name
        self._place: str | None = None
        self.problem: str | None = None

    def check(self, driver: Any) -> None:
        """Check the directory of a driver that is set up; a problem stays until it is gone."""
        try:
            place = getattr(driver, "files_directory", lambda: None)()
        except BaseException as error:  # noqa: BLE001 - a driver may raise anything at all
            LOG.debug("the driver of %s does not name its directory: %r", self._name, error)
            return
        found = self._find_problem(place)
        self._place = place or self._place
        if found is not None and found != self.problem:
            LOG.error("%s is down, its operations fail: %s", self._name, found)
        elif found is None and self.problem is not None:
            LOG.info("%s is up again: its directory is back", self._name)
        self.problem = found

    def _find_problem(self, place: str | None) -> str | None:
        if place is None:
            return f"{self._place} is not mounted any more" if self._place else None
        try:
            self._mark.check_directory(Path(place))
        except NotMounted as error:
            return str(error)
        except Exception as error:  # noqa: BLE001 - the database may be away, the disk full
            LOG.debug("the directory of %s cannot be checked: %s", self._name, error)
            return self.problem
        return None


@contextlib.contextmanager
def _written(directory: Path, mark: Mark) -> Iterator[str]:
    """Make a temporary file with a mark; it is removed at the end unless it was renamed."""
    fd, name = tempfile.mkstemp(prefix=".mark-", dir=directory)
    try:
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            file.write(mark.text())
            file.flush()
            os.fchmod(file.fileno(), _MODE)
            os.fsync(file.fileno())
        yield name
    finally:
        Path(name).unlink(missing_ok=True)


def _is_empty(directory: Path) -> bool:
    """Return whether a directory has no file besides hidden ones, or does not exist."""
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return True
    return all(name.startswith(".") or name in _NO_CONTENT for name in names)


def _sync(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
