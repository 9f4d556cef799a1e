# SPDX-License-Identifier: Apache-2.0
"""One host: a network namespace with a volume service and a backup service."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.cluster.backend import history
from tests.cluster.rig.freezer import Freezer
from tests.faults.outages import clock
from tests.functional.service import Service
from tests.servers.several.network import Direction, Namespace

VOLUME, BACKUP = "tests.cluster.rig.volume_program", "tests.cluster.rig.backup_program"


class Host:
    """A host with its processes.

    :param sections: the configuration, without the names of the host.
    :param log: the history of the backend.
    :param backups: whether it has a backup service.
    """

    def __init__(
        self,
        name: str,
        namespace: Namespace,
        directory: Path,
        sections: Mapping[str, Mapping[str, Any]],
        log: Path,
        *,
        bus: str,
        database: str,
        backends: Mapping[str, Mapping[str, Any]],
        backups: bool = True,
        forked: bool = True,
    ) -> None:
        self.name = name
        self.namespace = namespace
        self.wanted = False
        """Whether it is to run: a service that ends by itself is started again."""
        self.restarts = 0
        directory.mkdir(parents=True)
        self._clock = directory / "clock"
        self._clock.write_text("0")
        self._freezer: Freezer | None = None
        self._lock = threading.RLock()
        named = {**sections, "DEFAULT": {**sections.get("DEFAULT", {}), "host": name}}
        environment = {
            history.VARIABLE: str(log),
            history.HOST: name,
            clock.VARIABLE: str(self._clock),
        }
        kinds = {"volume": VOLUME, **({"backup": BACKUP} if backups else {})}
        self.services = {
            kind: Service(
                directory / kind,
                bus=bus,
                database=database,
                backends=backends,
                sections=named,
                module=module,
                forked=forked,
                namespace=namespace.place.namespace,
                environment=environment,
            )
            for kind, module in kinds.items()
        }

    def launch(self) -> None:
        """Start its services, and do not wait for them."""
        with self._lock:
            self.wanted = True
            for service in self.services.values():
                service.launch()

    def wait_ready(self) -> None:
        """Wait until its services are ready."""
        for service in self.services.values():
            service.wait_for_notice("READY=1")

    def tend(self) -> bool:
        """Start services again that have ended by themselves, as systemd does."""
        with self._lock:
            if not self.wanted:
                return False
            ended = [
                one
                for one in self.services.values()
                if one.process is None or one.process.returncode is not None
            ]
            for service in ended:
                service.launch()
            self.restarts += len(ended)
            return bool(ended)

    def kill(self) -> None:
        """End all its processes at once, as a power cut would."""
        with self._lock:
            self.wanted = False
            self._send(signal.SIGKILL)
            self._drop_freezer()
            for service in self.services.values():
                service.close()

    def kill_child(self) -> None:
        """End the processes that work, and leave those that supervise them."""
        for service in self.services.values():
            if service.process is not None:
                send(service.children(), signal.SIGKILL)

    def stop(self, timeout: float = 60.0) -> None:
        """Stop its services in order."""
        with self._lock:
            self.wanted = False
            for service in self.services.values():
                if service.process is not None:
                    service.process.send(signal.SIGTERM)
            for service in self.services.values():
                if service.process is not None:
                    service.stop(timeout)

    def freeze(self) -> None:
        """Stop all its processes by a signal."""
        self._send(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let them go on."""
        self._send(signal.SIGCONT)

    def pause(self) -> None:
        """Stop all its processes as a paused machine does."""
        with self._lock:
            self._freezer = Freezer()
            self._freezer.freeze(list(self.pids()))

    def resume(self) -> None:
        """End the pause."""
        with self._lock:
            self._drop_freezer()

    def cut(self, addresses: list[str], direction: Direction = Direction.BOTH) -> None:
        """Drop its packets from and to addresses."""
        self.namespace.cut(addresses, direction)

    def mend(self, addresses: list[str], direction: Direction = Direction.BOTH) -> None:
        """End such a cut."""
        self.namespace.mend(addresses, direction)

    def set_clock(self, seconds: float) -> None:
        """Set its time of day so many seconds ahead."""
        fresh = self._clock.with_suffix(".new")
        fresh.write_text(str(seconds))
        fresh.replace(self._clock)

    def pids(self) -> Iterator[int]:
        """Yield all its processes."""
        for service in self.services.values():
            if service.process is not None:
                yield from service.process.family()

    def tail(self, lines: int = 40) -> str:
        """Return the ends of its logs."""
        return "\n".join(
            f"--- {self.name} {kind}\n{service.tail(lines)}"
            for kind, service in self.services.items()
        )

    def close(self) -> None:
        """End it for good."""
        self.kill()

    def _send(self, number: signal.Signals) -> None:
        send(list(self.pids()), number)

    def _drop_freezer(self) -> None:
        if self._freezer is not None:
            self._freezer.close()
            self._freezer = None


def send(pids: Collection[int], number: signal.Signals) -> None:
    """Send a signal to processes, of which some may have ended."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
