# SPDX-License-Identifier: Apache-2.0
"""A private Swift of one device, in a Python environment of its own: it brings eventlet along."""

from __future__ import annotations

import functools
import os
import subprocess
import venv
from pathlib import Path
from typing import ClassVar

from tests.installation import installed, python_place_of
from tests.servers.process import Process, free_port, listens, until
from tests.servers.server import START_TIMEOUT, Server, find

VERSION = "2.38.3"
USER, KEY = "test:tester", "testing"
_INSTALL_TIMEOUT = 300.0  # seconds; it comes from the package index
_KINDS = ("account", "container", "object")

_STORAGE = """\
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
swift_dir = {directory}
devices = {directory}/devices
mount_check = false
workers = 0
log_name = swift-{kind}
[pipeline:main]
pipeline = {kind}-server
[app:{kind}-server]
use = egg:swift#{kind}
"""

_PROXY = """\
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
swift_dir = {directory}
workers = 0
[pipeline:main]
pipeline = catch_errors cache tempauth proxy-server
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:{cache}
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = testing .admin
storage_url_scheme = http
[app:proxy-server]
use = egg:swift#proxy
allow_account_management = true
account_autocreate = true
"""


_RINGS = """\
import sys
from swift.common.ring import RingBuilder
device = {"region": 1, "zone": 1, "ip": "127.0.0.1", "device": "d1", "weight": 1.0, "meta": ""}
for kind, port in zip(sys.argv[1::2], sys.argv[2::2]):
    builder = RingBuilder(4, 1, 0)
    builder.add_dev({**device, "port": int(port)})
    builder.rebalance()
    builder.get_ring().save(f"{kind}.ring.gz")
"""
"""Writes the rings of kinds of servers, given with their ports: swift-ring-builder, which takes
half a second for each step, in one process."""


class Swift(Server):
    """One Swift with accounts of its own, on a port of the loopback device."""

    name: ClassVar[str] = "Swift"
    programs: ClassVar[tuple[str, ...]] = ("memcached",)

    @property
    def auth_url(self) -> str:
        """Where one logs in, by version 1 of its protocol."""
        return f"http://127.0.0.1:{self.port}/auth/v1.0"

    @classmethod
    def missing(cls) -> list[str]:
        """Install it, once for this Python environment; return the packages that could not be."""
        if absent := super().missing():
            return absent
        return [] if installed(cls._place(), cls._install) else [f"swift=={VERSION}"]

    def _prepare(self) -> None:
        self._ports = {kind: free_port() for kind in (*_KINDS, "cache")}
        (self.directory / "devices" / "d1").mkdir(parents=True)
        hashes = "[swift-hash]\nswift_hash_path_suffix = tests\n"
        (self.directory / "swift.conf").write_text(hashes)
        for kind in _KINDS:
            known = {"kind": kind, "port": self._ports[kind], "directory": self.directory}
            (self.directory / f"{kind}.conf").write_text(_STORAGE.format(**known))
        rings = [word for kind in _KINDS for word in (kind, str(self._ports[kind]))]
        self._command(str(self._program("python")), "-I", "-c", _RINGS, *rings)
        proxy = {"port": self.port, "cache": self._ports["cache"], "directory": self.directory}
        (self.directory / "proxy.conf").write_text(_PROXY.format(**proxy))

    def _run(self, log: Path) -> Process:
        script = self.directory / "serve.sh"
        cache = [find("memcached") or "memcached", "-l", "127.0.0.1", "-U", "0"]
        cache += ["-p", str(self._ports["cache"]), *(["-u", "nobody"] if os.geteuid() == 0 else [])]
        lines = ["#!/bin/sh", f"{' '.join(cache)} &"]
        for kind in (*_KINDS, "proxy"):
            program = self._program(f"swift-{kind}-server")
            lines.append(f"{program} {self.directory}/{kind}.conf -v &")
        script.write_text("\n".join([*lines, "wait", ""]))
        env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        return Process(["/bin/sh", str(script)], log=log, env=env, cwd=self.directory)

    def start(self) -> None:
        """Start all of its servers, and wait until each answers."""
        super().start()
        for port in self._ports.values():
            until(functools.partial(listens, port), START_TIMEOUT, "a server of Swift")

    @classmethod
    def _install(cls) -> None:
        venv.create(cls._place(), with_pip=True)
        command = [str(cls._program("python")), "-m", "pip", "install", "-q"]
        command += ["--no-compile", f"swift=={VERSION}"]
        subprocess.run(command, check=True, timeout=_INSTALL_TIMEOUT, capture_output=True)

    @staticmethod
    def _place() -> Path:
        return python_place_of(f"swift-{VERSION}")

    @classmethod
    def _program(cls, name: str) -> Path:
        return cls._place() / "bin" / name
