# SPDX-License-Identifier: Apache-2.0
"""cinder-api and cinder-scheduler as released, over a private bus, database and Glance.

All services start with one file of options, Cinder's own: the API, the
scheduler, and the two services under test. Keystone and Nova are stand-ins, which note
their arguments.
"""

from __future__ import annotations

import os
import sys
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import kombu
from amqp.exceptions import NotFound

from tests.functional.service import render
from tests.servers import Process, Servers, free_port, until
from tests.servers.keystone import Keystone
from tests.servers.nova import Nova

NODE = "node"
PLUGINS = Path(__file__).parent / "plugins"
"""The environment of Cinder's programs: a driver, and root."""

BACKENDS = ("one", "two")
_PASSWORD = "of-the-service"
START_TIMEOUT = 90.0  # seconds; Cinder's imports take some on a busy machine

Sections = Mapping[str, Mapping[str, Any]]


class Control:
    """The services that stay: API and scheduler.

    :param directory: of the configuration, the logs and the volumes.
    """

    def __init__(self, servers: Servers, directory: Path) -> None:
        self.directory = directory
        self.bus = servers.broker.vhost()
        self.database = servers.mariadb.database()
        self.config = directory / "cinder.conf"
        self.port = free_port()
        self.images = servers.glance.url
        self.kept_images = servers.glance.images
        self.nova = Nova()
        self._keystone = Keystone({"compute": self.nova.url}, _PASSWORD)
        self._processes: dict[str, Process] = {}
        (directory / "state").mkdir()

    @property
    def url(self) -> str:
        """Where the API is, without a project."""
        return f"http://127.0.0.1:{self.port}/v3"

    def write(self, backends: Sections) -> None:
        """Write the configuration, with these backends in it."""
        etc, rootwrap = Path(sys.prefix, "etc", "cinder"), self.directory / "rootwrap.conf"
        programs = f"{Path(sys.executable).parent},/usr/sbin,/usr/bin,/sbin,/bin"
        filters = {"filters_path": etc / "rootwrap.d", "exec_dirs": programs}
        rootwrap.write_text(render({"DEFAULT": filters}))
        content: dict[str, Mapping[str, Any]] = {
            "DEFAULT": {
                "host": NODE,
                "state_path": self.directory / "state",
                "transport_url": self.bus,
                "auth_strategy": "noauth",
                "rootwrap_config": rootwrap,
                "api_paste_config": etc / "api-paste.ini",
                "resource_query_filters_file": etc / "resource_filters.json",
                "osapi_volume_listen": "127.0.0.1",
                "osapi_volume_listen_port": self.port,
                "osapi_volume_workers": 1,
                "enabled_backends": ",".join(backends),
                "glance_api_servers": self.images,
                "backup_driver": "cinder.backup.drivers.posix.PosixBackupDriver",
                "backup_posix_path": self.directory / "backups",
                "backup_file_size": 32768 * 256,
                "periodic_interval": 2,
                "periodic_fuzzy_delay": 0,
                "backend_stats_polling_interval": 3,
                "report_interval": 2,
                "scheduler_max_attempts": 3,
                "debug": True,
            },
            "database": {"connection": self.database},
            "nova": {
                "auth_type": "password",
                "auth_url": self._keystone.url,
                "token_auth_url": self._keystone.url,
                "username": "cinder",
                "password": _PASSWORD,
                "project_name": "service",
                "user_domain_id": "default",
                "project_domain_id": "default",
            },
            "oslo_messaging_notifications": {"driver": "messagingv2"},
            "oslo_concurrency": {"lock_path": self.directory / "state" / "locks"},
            "coordination": {"backend_url": f"file://{self.directory}/state"},
            **backends,
        }
        self.config.write_text(render(content))

    def start(self) -> None:
        """Make the tables, start both, and wait until the API and the scheduler answer."""
        made = self.run("cinder-manage", "db", "sync")
        assert made.wait(START_TIMEOUT) == 0, made.tail()
        self._processes["api"] = self.run("cinder-api")
        self._processes["scheduler"] = self.run("cinder-scheduler")
        until(self._answers, START_TIMEOUT, "the API to answer")
        until(self._schedules, START_TIMEOUT, "the scheduler to take calls")

    def run(self, program: str, *arguments: str) -> Process:
        """Start a program of Cinder's with its configuration."""
        argv = [str(Path(sys.executable).with_name(program)), "--config-file", str(self.config)]
        env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        env["PYTHONPATH"] = str(PLUGINS)
        places = (PLUGINS / "bin", Path(sys.executable).parent, env["PATH"])
        env["PATH"] = os.pathsep.join(map(str, places))
        log = self.directory / f"{program}.log"
        return Process([*argv, *arguments], log=log, env=env, cwd=self.directory)

    def close(self) -> None:
        """Stop both."""
        for process in self._processes.values():
            process.kill()
        self.nova.close()
        self._keystone.shutdown()
        self._keystone.server_close()

    def _schedules(self) -> bool:
        """Check for a consumer of the scheduler's calls; they are lost before it is there."""
        self._check()
        with kombu.Connection(self.bus.replace("rabbit://", "amqp://", 1)) as connection:
            try:
                queue = connection.channel().queue_declare("cinder-scheduler", passive=True)
            except NotFound:
                return False
            return bool(queue.consumer_count)

    def _check(self) -> None:
        for name, process in self._processes.items():
            assert process.returncode is None, f"{name} ended:\n{process.tail()}"

    def _answers(self) -> bool:
        self._check()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/healthcheck", timeout=5):
                return True
        except OSError:
            return False
