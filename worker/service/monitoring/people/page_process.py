# SPDX-License-Identifier: Apache-2.0
"""The process that makes pages for people, started by the first request and ended when idle.

A page reads the journal and the database and renders templates. In a process of its own it takes
no time of the interpreter that operations run in, and no memory unless pages are looked at; one
that does not answer is killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from multiprocessing.connection import Connection, Pipe
from typing import Any

from oslo_config import cfg

DEADLINE = 30.0
"""Seconds that a page may take."""

START = 30.0
"""Further seconds for the first page, as the process starts: a second where nothing else runs."""

PROGRAM = "worker.page.program"


class PageUnavailable(Exception):
    """No page was made; the text has the reason."""


class PageProcess:
    """Makes one page at a time.

    :param conf: whose files the process reads as well.
    """

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        files = [f"--config-file={name}" for name in conf.config_file or ()]
        self._options = [*files, *(f"--config-dir={name}" for name in conf.config_dir or ())]
        self._turn = threading.Lock()
        self._running: tuple[subprocess.Popen[bytes], Connection] | None = None
        os.register_at_fork(after_in_child=self._close_in_child)

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to a request, both values of JSON.

        :raises PageUnavailable: there is none in time.
        """
        if not self._turn.acquire(timeout=DEADLINE):
            raise PageUnavailable("other pages take too long; try again")
        try:
            return self._ask(json.dumps(request).encode())
        finally:
            self._turn.release()

    def close(self) -> None:
        """End the process."""
        with self._turn:
            self._end()

    def _ask(self, request: bytes) -> dict[str, Any]:
        for is_new in (self._running is None, True):
            process, channel = self._running or self._start()
            late = threading.Timer(DEADLINE + (START if is_new else 0), process.kill)
            late.start()
            try:
                channel.send_bytes(request)
                found: dict[str, Any] = json.loads(channel.recv_bytes())
                return found
            except (EOFError, OSError) as error:  # it has ended because it was idle, or was killed
                is_late = late.finished.is_set()
                self._end()
                if is_late:
                    text = f"the journal or the database has not answered for {DEADLINE:.0f} s"
                    raise PageUnavailable(text) from error
                if is_new:
                    raise PageUnavailable("the process for pages has ended; see the log") from error
            finally:
                late.cancel()
        raise AssertionError("unreachable")

    def _start(self) -> tuple[subprocess.Popen[bytes], Connection]:
        ours, theirs = Pipe()
        command: Sequence[str] = (
            *(sys.executable, "-P", "-m", PROGRAM),  # not from the working directory
            *(f"--channel={theirs.fileno()}", *self._options),
        )
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # a reload is signalled to the whole group
            )
        except OSError as error:
            raise PageUnavailable(f"the process for pages does not start: {error}") from error
        finally:
            theirs.close()
        # It ends when it is idle, and is no zombie then.
        threading.Thread(target=process.wait, name="page-process", daemon=True).start()
        self._running = process, ours
        return self._running

    def _end(self) -> None:
        if self._running is None:
            return
        process, channel = self._running
        self._running = None
        channel.close()
        process.kill()
        process.wait()

    def _close_in_child(self) -> None:
        """Close the channel in a child process: the other side ends when ours is closed."""
        self._turn = threading.Lock()
        if self._running is not None:
            with contextlib.suppress(OSError):
                self._running[1].close()
            self._running = None
