# SPDX-License-Identifier: Apache-2.0
"""Write reports on a thread of its own; a request, also of a handler of a signal, wakes it."""

from __future__ import annotations

import datetime
import logging
import os
import queue
import re
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from importlib import metadata
from pathlib import Path

from oslo_config import cfg

from flows.storable_errors import text_of
from worker.service.start_stop import Service
from worker.service.state_report import sections

LOG = logging.getLogger(__name__)

PATIENCE = 2.0
"""Seconds for one section: a lock that hangs must not hide the rest."""

PAUSE = 1.0
"""Seconds between two reports; requests meanwhile are answered by one."""

KEPT = 10
"""Files of one process that are kept."""

MOST_LINES = 4000
"""Lines of one section."""

LONGEST = 2000
"""Characters of one line."""


class StateReporter:
    """Writes the reports of one process.

    :param name: of the process, for the head and the file.
    :param service: that it runs, None where it only supervises others.
    :param before: called before each report, on its thread.
    """

    def __init__(
        self,
        conf: cfg.ConfigOpts,
        name: Callable[[], str],
        service: Service | None = None,
        before: Callable[[], None] = lambda: None,
    ) -> None:
        self._conf = conf
        self._name = name
        self._service = service
        self._before = before
        # The only primitive whose put() may interrupt itself, as a handler of a signal may.
        self._requests: queue.SimpleQueue[bool] = queue.SimpleQueue()

    def start(self) -> None:
        """Start to wait for requests."""
        threading.Thread(target=self._loop, name="state-report", daemon=True).start()

    def request(self) -> None:
        """Request a report; returns at once."""
        self._requests.put(True)

    def stop(self) -> None:
        """End the thread, after the reports that were requested."""
        self._requests.put(False)

    def write(self) -> None:
        """Write a report to a file, or to the log."""
        name = self._name()
        head = f"state of {name}, holdfast {metadata.version('holdfast')}, pid {os.getpid()}"
        lines = [f"{head}, at {_now()}", *self._lines()]
        directory = self._conf.monitoring.report_directory
        if directory:
            try:
                path = _write(Path(directory), name, lines)
            except OSError as error:
                LOG.error("the report of the state is in the log: %s", error)
            else:
                LOG.info("the report of the state is in %s", path)
                return
        for line in lines:
            LOG.info("%s", line)

    def _lines(self) -> Iterator[str]:
        for title, section in sections.of(self._conf, self._service).items():
            yield f"== {title}"
            for line in sections.limited(_within(PATIENCE, section), MOST_LINES):
                yield line if len(line) <= LONGEST else f"{line[:LONGEST]}…"

    def _loop(self) -> None:
        while self.answer():
            time.sleep(PAUSE)

    def answer(self) -> bool:
        """Wait for a request, and answer all that are there by one report.

        :returns: False after a stop.
        """
        if not self._requests.get():
            return False
        continues = True
        while continues and not self._requests.empty():
            continues = self._requests.get()
        try:
            self._before()
            self.write()
        except Exception:
            LOG.exception("the state could not be reported")
        return continues


def _within(seconds: float, section: sections.Section) -> Iterable[str]:
    """Return the lines of a section, or the reason why there are none."""
    found: list[str] = []

    def make() -> None:
        try:
            lines = list(section())
        except Exception as error:  # noqa: BLE001 - the state may change under it
            lines = [f"cannot be shown: {type(error).__name__}: {text_of(error)}"]
        found.extend(lines or ["none"])

    thread = threading.Thread(target=make, name="state-section", daemon=True)
    thread.start()
    thread.join(seconds)
    return list(found) or [f"no answer within {seconds:.0f} s: a lock of it is held"]


def _write(directory: Path, name: str, lines: Iterable[str]) -> Path:
    """Write a file as a whole, and remove the oldest ones. :raises OSError: it is not there."""
    stem = re.sub(r"[^\w.@-]+", "-", name)
    path = directory / f"{stem}-{_now().replace(':', '')}.txt"
    with tempfile.NamedTemporaryFile("w", dir=directory, prefix=".state-", delete=False) as file:
        try:
            file.writelines(f"{line}\n" for line in lines)
            file.flush()
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise
    for old in sorted(directory.glob(f"{stem}-[0-9]*.txt"))[:-KEPT]:
        old.unlink(missing_ok=True)
    return path


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
