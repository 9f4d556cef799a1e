# SPDX-License-Identifier: Apache-2.0
"""A private RabbitMQ with its own name server."""

from __future__ import annotations

import os
from pathlib import Path

from tests.servers.place import LOOPBACK, Place
from tests.servers.process import Process, free_port, until
from tests.servers.server import START_TIMEOUT, Server, find


class Broker(Server):
    """RabbitMQ; ``vhost()`` gives an empty one as a transport URL.

    :param settings: further lines of rabbitmq.conf.
    """

    name = "RabbitMQ"
    programs = ("rabbitmq-server", "rabbitmqctl", "epmd")
    BATCH = 16  # vhosts made by one rabbitmqctl, which takes a second however many

    def __init__(self, directory: Path, *, place: Place = LOOPBACK, settings: str = "") -> None:
        super().__init__(directory, place=place)
        self._settings = settings
        self._names_port = free_port()
        self._names: Process | None = None
        self._vhosts: list[str] = []
        self._distribution = free_port()

    def vhost(self) -> str:
        """Return the URL of an empty virtual host, for this caller alone."""
        if not self._vhosts:
            self._vhosts = self._make([f"v{next(self._numbers)}" for _ in range(self.BATCH)])
        return f"rabbit://guest:guest@{self.place.address}:{self.port}/{self._vhosts.pop(0)}"

    def stop(self) -> None:
        """Stop the broker in order: clients are disconnected, durable queues stay."""
        if self._process is not None:
            self.ctl("stop_app")

    def start(self) -> None:
        """Start the broker, or start it again after ``stop`` or ``kill``."""
        if self._process is None:
            super().start()
            until(self._has_started, START_TIMEOUT, "the broker to have started")
        else:
            self.ctl("start_app")

    def close(self) -> None:
        """End the broker for good, with the name server that belongs to it."""
        self.kill()
        if self._names is not None:
            self._names.kill()
            self._names = None

    def pids(self) -> list[int]:
        """Return the processes of the broker and of its name server."""
        return [*super().pids(), *([] if self._names is None else self._names.family())]

    def ctl(self, *argv: str) -> str:
        """Run rabbitmqctl (about a second)."""
        return self._command("rabbitmqctl", "--quiet", *argv, env=self._env())

    def _has_started(self) -> bool:
        """Wait for the start; it fails where the node has not got so far that one can wait."""
        try:
            self.ctl("await_startup")
        except RuntimeError:
            return False
        return True

    def _make(self, names: list[str]) -> list[str]:
        listed = ", ".join(f'<<"{name}">>' for name in names)
        self.ctl(
            "eval",
            'lists:foreach(fun(V) -> rabbit_vhost:add(V, <<"tests">>), '
            'rabbit_auth_backend_internal:set_permissions(<<"guest">>, V, <<".*">>, <<".*">>, '
            f'<<".*">>, <<"tests">>) end, [{listed}]).',
        )
        return names

    def _prepare(self) -> None:
        (self.directory / "enabled_plugins").write_text("[].\n")
        (self.directory / "rabbitmq.conf").write_text(
            f"loopback_users = none\nvm_memory_high_watermark.relative = 0.6\n"
            f"disk_free_limit.absolute = 50MB\n{self._settings}\n"
        )

    def _run(self, log: Path) -> Process:
        # The node would leave a name server of its own behind, on every address.
        if self._names is None:
            argv = [find("epmd") or "epmd", "-port", str(self._names_port)]
            self._names = Process(
                [*argv, "-address", self.place.address],
                log=self.directory / "epmd.log",
                env=self._env(),
                namespace=self.place.namespace,
            )
            until(lambda: self.place.listens(self._names_port), 60, "epmd")
        return Process(
            [find("rabbitmq-server") or "rabbitmq-server"],
            log=log,
            env=self._env(),
            cwd=self.directory,
            namespace=self.place.namespace,
        )

    def _env(self) -> dict[str, str]:
        here = self.directory
        return {
            **{key: value for key, value in os.environ.items() if key in ("PATH", "LANG")},
            "HOME": str(here),
            "LC_ALL": "C.UTF-8",
            "ERL_EPMD_PORT": str(self._names_port),
            "ERL_EPMD_ADDRESS": self.place.address,
            "RABBITMQ_NODENAME": f"t{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": self.place.address,
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._distribution),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "RABBITMQ_MNESIA_BASE": str(here / "mnesia"),
            "RABBITMQ_LOG_BASE": str(here / "log"),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_CONFIG_FILE": str(here / "rabbitmq"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(here / "enabled_plugins"),
        }
