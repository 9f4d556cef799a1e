# SPDX-License-Identifier: Apache-2.0
"""``holdfast-volume`` as a separate process, from a configuration file, as under systemd."""

from __future__ import annotations

import functools
import os
import re
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.servers import Process, alive, until
from tests.servers.forked import ForkedProcess

START_TIMEOUT = 60.0  # seconds until READY=1

Sections = Mapping[str, Mapping[str, Any]]


@contextmanager
def services(directory: Path, *, forked: bool = False) -> Iterator[Callable[..., Service]]:
    """Give a function that makes a ``Service``; whatever was started is killed at the end."""
    made: list[Service] = []

    def make(name: str = "service", **options: Any) -> Service:
        made.append(Service(directory / name, forked=forked, **options))
        return made[-1]

    try:
        yield make
    finally:
        for service in made:
            service.close()


class Service:
    """One ``holdfast-volume``, with all its children.

    :param directory: its state path, configuration and log.
    :param bus: transport URL.
    :param database: SQLAlchemy URL; its tables must be there.
    :param backends: options of each backend by name; one local backend by default.
    :param sections: further sections and options, which override those that are set here.
    :param module: the module to run as ``python -m``.
    :param forked: start it by a fork of a process that has its modules, without imports.
    :param namespace: the network namespace in which it runs, None for that of the tests.
    :param environment: further variables of its environment.
    """

    def __init__(
        self,
        directory: Path,
        *,
        bus: str,
        database: str,
        backends: Sections | None = None,
        sections: Sections | None = None,
        module: str = "worker.cmd.volume",
        forked: bool = False,
        namespace: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.directory = directory
        self.config = directory / "holdfast.conf"
        self.log = directory / "log"
        self.module = module
        kind = ForkedProcess if forked else Process
        self._start = functools.partial(kind, namespace=namespace)
        self._environment = dict(environment or {})
        self.process: Process | None = None
        self._notices: socket.socket | None = None
        self._heard: list[str] = []
        (directory / "state").mkdir(parents=True)
        self.write(bus=bus, database=database, backends=backends, sections=sections)

    def write(
        self,
        *,
        bus: str,
        database: str,
        backends: Sections | None = None,
        sections: Sections | None = None,
    ) -> None:
        """Write the configuration file."""
        backends = backends or {"b1": {"volume_driver": "local"}}
        content: dict[str, dict[str, Any]] = {
            "DEFAULT": {
                "host": "h1",
                "state_path": self.directory / "state",
                "transport_url": bus,
                "enabled_backends": ",".join(backends),
                "debug": True,
                "report_interval": 1,
            },
            "database": {"connection": database},
        }
        for name, options in (*backends.items(), *(sections or {}).items()):
            content.setdefault(name, {}).update(options)
        self.config.write_text(render(content))

    def start(self, *arguments: str, ready: str | None = None) -> None:
        """Start the service and wait until it is ready.

        :param ready: a pattern of the log that means ready, instead of READY=1.
        """
        self.launch(*arguments)
        if ready is None:
            self.wait_for_notice("READY=1")
        else:
            self.wait_for_log(ready, START_TIMEOUT)

    def launch(self, *arguments: str) -> Process:
        """Start the service and do not wait for it."""
        self.close()
        self._heard.clear()
        # The name of a socket has 107 bytes at most; pytest's directories can be longer.
        self._notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        place = tempfile.mktemp(prefix="holdfast-notify-")
        self._notices.bind(place)
        self._notices.setblocking(False)
        root = Path(__file__).parents[2]
        paths = os.pathsep.join(filter(None, (str(root), os.environ.get("PYTHONPATH"))))
        env = {**os.environ, "NOTIFY_SOCKET": place, "PYTHONPATH": paths, **self._environment}
        argv = [sys.executable, "-m", self.module, "--config-file", str(self.config)]
        process = self._start([*argv, *arguments], log=self.log, env=env, cwd=self.directory)
        self.process = process
        return process

    def notices(self) -> list[str]:
        """Return the service's messages to systemd so far, such as READY=1."""
        while self._notices is not None:
            try:
                data = self._notices.recv(4096)
            except BlockingIOError:
                break
            self._heard += data.decode().splitlines()
        return list(self._heard)

    def wait_for_notice(self, notice: str, timeout: float = START_TIMEOUT) -> None:
        """Wait for a message to systemd."""
        self._wait(lambda: notice in self.notices(), timeout, notice)

    def wait_for_log(self, pattern: str, timeout: float = 60.0, *, after: int = 0) -> None:
        """Wait for a line of the log that contains a pattern.

        :param after: byte of the log from which to look, as ``position()`` gave it.
        """
        wanted = re.compile(pattern, re.MULTILINE)
        self._wait(lambda: wanted.search(self.text(after)), timeout, f"{pattern!r} in the log")

    def position(self) -> int:
        """Return the length of the log, to look only at later lines."""
        return self.log.stat().st_size if self.log.exists() else 0

    def text(self, after: int = 0) -> str:
        """Return the log."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as log:
            log.seek(after)
            return log.read().decode(errors="replace")

    def tail(self, lines: int = 60) -> str:
        """Return the end of the log."""
        return "\n".join(self.text().splitlines()[-lines:])

    def reload(self) -> None:
        """Send SIGHUP, as ``systemctl reload`` does."""
        self._running().send(signal.SIGHUP)

    def stop(self, timeout: float = 30.0) -> int:
        """Send SIGTERM, wait for the orderly end, and return the exit status."""
        process = self._running()
        family = process.family()
        process.send(signal.SIGTERM)
        status = process.wait(timeout)
        until(lambda: not alive(family), 60, f"the end of {family}")
        self.close()
        return status

    def kill(self) -> None:
        """Send SIGKILL to the whole service, as a power cut would."""
        self._running()
        self.close()

    def children(self) -> list[int]:
        """Return the process ids of the service without its parent."""
        process = self._running()
        return [pid for pid in process.family() if pid != process.pid]

    def close(self) -> None:
        """Kill the remaining processes; safe to call at any time."""
        if self.process is not None:
            self.process.kill()
            self.process = None
        if self._notices is not None:
            self.notices()
            os.unlink(self._notices.getsockname())
            self._notices.close()
            self._notices = None

    def _running(self) -> Process:
        assert self.process is not None, "the service was not started"
        return self.process

    def _wait(self, condition: Any, timeout: float, what: str) -> None:
        process = self._running()

        def done() -> bool:
            if condition():
                return True
            if process.returncode is not None:
                raise RuntimeError(
                    f"the service ended with {process.returncode} before {what}:\n{self.tail()}"
                )
            return False

        try:
            until(done, timeout, what)
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{self.tail()}") from None


def render(sections: Sections) -> str:
    """Return the text of a configuration file."""
    lines = []
    for section, options in sections.items():
        lines.append(f"[{section}]")
        for name, value in options.items():
            values = value if isinstance(value, list) else [value]
            lines += [f"{name} = {one}" for one in values]
        lines.append("")
    return "\n".join(lines)
