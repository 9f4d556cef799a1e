# SPDX-License-Identifier: Apache-2.0
"""Each kind of fault: its begin and its end."""

from __future__ import annotations

import contextlib
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from tests.cluster.backend import history
from tests.cluster.checks.calls import intervals
from tests.cluster.checks.evidence import Struck
from tests.cluster.checks.takeovers import takeovers
from tests.cluster.faults.plan import Fault
from tests.cluster.faults.shared import ServerFaults
from tests.cluster.rig import freezer
from tests.cluster.rig.host import Host
from tests.cluster.rig.setting import nodes
from tests.cluster.rig.world import World
from tests.servers import until
from tests.servers.several.network import Direction

SKEW = 30.0
"""Seconds by which a clock is set."""

_LONG_CALL = 0.3
"""Seconds after which a call is one of those that take seconds."""

_PATIENCE = 60.0
"""Seconds in which a host is inside such a call, and in which another host takes over."""

START_TRIES = 5
"""How often a server is started before the rig gives up."""

FLAPS = 3
"""How often a host that flaps is killed."""


class Striker:
    """Strikes faults on a world; faults of one host, or of one server, wait for each other.

    :param servers: the faults of servers that other worlds use as well.
    """

    def __init__(self, world: World, servers: ServerFaults) -> None:
        self.struck: list[Struck] = []
        self.skipped: dict[str, str] = {}
        self._world = world
        self._servers = servers
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._guard = threading.Lock()

    def strike(self, fault: Fault) -> None:
        """Begin a fault, wait for its length, and end it."""
        reason = self._missing(fault.kind)
        if reason:
            self.skipped[fault.kind] = reason
            return
        with self._guard:
            lock = self._locks[self._victim(fault)]
        among_all = contextlib.nullcontext() if fault.is_of_host else self._servers.striking()
        with lock, among_all:
            if fault.taken_over:
                self._wait_for_call(self._host(fault).name)
            began = time.monotonic()
            with self._begin(fault):
                ended = began + fault.seconds
                note = Struck(fault.kind, self._hosts(fault), began, ended, self._orderly(fault))
                self.struck.append(note)
                if not fault.is_of_host:
                    self._servers.note(note)
                time.sleep(fault.seconds)
                if fault.taken_over:
                    self._wait_for_takeover(note)

    def _wait_for_call(self, host: str) -> None:
        def is_inside() -> bool:
            now = time.monotonic()
            return any(
                not call.finished and call.first.request and now - call.began > _LONG_CALL
                for call in intervals(history.read(self._world.history))
                if call.first.host == host
            )

        until(is_inside, _PATIENCE, f"{host} to be inside a call that takes long")

    def _wait_for_takeover(self, note: Struck) -> None:
        until(
            lambda: takeovers(history.read(self._world.history), [note]),
            _PATIENCE,
            f"another host to resume an operation after the {note.kind}",
        )
        self.struck[self.struck.index(note)] = replace(note, ended=time.monotonic())

    def _missing(self, kind: str) -> str:
        if kind == "pause" and not freezer.is_possible():
            return "no freezer of control groups, version 1"
        if kind == "minority-server" and not self._nodes("database")[1:]:
            return "the database has one node"
        return ""

    def _victim(self, fault: Fault) -> str:
        if fault.is_of_host:
            return f"host {fault.host}"
        return "database" if fault.kind == "minority-server" else fault.kind.partition("-")[0]

    def _hosts(self, fault: Fault) -> tuple[str, ...]:
        if fault.is_of_host:
            return (self._host(fault).name,)
        return tuple(self._world.hosts)

    @staticmethod
    def _orderly(fault: Fault) -> bool:
        return fault.kind in ("stop", "clock")

    def _host(self, fault: Fault) -> Host:
        return list(self._world)[fault.host % len(self._world.hosts)]

    def _nodes(self, kind: str) -> list[Any]:
        server = {"broker": self._world.setting.broker, "database": self._world.setting.database}
        return nodes(server.get(kind, self._world.setting.locks))

    @contextlib.contextmanager
    def _begin(self, fault: Fault) -> Iterator[None]:
        kind, _, target = fault.kind.partition("-")
        if target == "server":
            with self._server(fault, kind):
                yield
        elif kind == "cut":
            with self._cut(fault, target):
                yield
        else:
            host = self._host(fault)
            begin, end = _HOST_FAULTS[kind]
            begin(host, fault)
            try:
                yield
            finally:
                end(host, fault)

    @contextlib.contextmanager
    def _cut(self, fault: Fault, target: str) -> Iterator[None]:
        host = self._host(fault)
        targets = self._world.targets
        chosen = list(targets) if target == "all" else [target]
        own = host.namespace.place.address
        addresses = [one for name in chosen for one in targets[name] if one != own]
        direction = Direction[fault.direction.upper()]
        host.cut(addresses, direction)
        try:
            yield
        finally:
            host.mend(addresses, direction)

    @contextlib.contextmanager
    def _server(self, fault: Fault, kind: str) -> Iterator[None]:
        if kind == "minority":
            with self._minority(fault):
                yield
            return
        found = self._nodes(kind)
        node = found[fault.host % len(found)]
        node.kill()
        try:
            yield
        finally:
            start_again(node)
            for server in (self._world.setting.broker, self._world.setting.database):
                complete = getattr(server, "wait_complete", None)
                if complete is not None and node in server.nodes:
                    complete()

    @contextlib.contextmanager
    def _minority(self, fault: Fault) -> Iterator[None]:
        """Cut one node of Galera from the others; its clients still reach it."""
        found = self._nodes("database")
        node = found[fault.host % len(found)]
        spaces = {one.place.address: one for one in self._world.setting.network.namespaces.values()}
        others = [one.place.address for one in found if one is not node]
        namespace = spaces[node.place.address]
        namespace.cut(others)
        try:
            yield
        finally:
            namespace.mend(others)
            self._world.setting.database.wait_complete()


def start_again(server: Any) -> None:
    """Start a server that was killed; on a busy machine a start may take longer than it may.

    The hosts of all worlds need it, so one start that fails is not the end.
    """
    for _ in range(START_TRIES - 1):
        try:
            server.start()
        except (OSError, RuntimeError, TimeoutError, subprocess.TimeoutExpired):
            server.kill()
        else:
            return
    server.start()


def _kill(host: Host, _fault: Fault) -> None:
    host.kill()


def _launch(host: Host, _fault: Fault) -> None:
    host.launch()


def _flap(host: Host, _fault: Fault) -> None:
    for _ in range(FLAPS):
        host.kill()
        host.launch()
        time.sleep(0.5)
    host.kill()


def _set_clock(host: Host, fault: Fault) -> None:
    host.set_clock(SKEW if fault.direction != "out_of" else -SKEW)


def _nothing(_host: Host, _fault: Fault) -> None:
    """There is nothing to end: the services restart by themselves."""


_HOST_FAULTS: dict[str, tuple[Callable[[Host, Fault], None], Callable[[Host, Fault], None]]] = {
    "kill": (_kill, _launch),
    "child": (lambda host, _fault: host.kill_child(), _nothing),
    "freeze": (lambda host, _fault: host.freeze(), lambda host, _fault: host.thaw()),
    "pause": (lambda host, _fault: host.pause(), lambda host, _fault: host.resume()),
    "stop": (lambda host, _fault: host.stop(), _launch),
    "flap": (_flap, _launch),
    "clock": (_set_clock, lambda host, _fault: host.set_clock(0.0)),
}
