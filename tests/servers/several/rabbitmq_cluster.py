# SPDX-License-Identifier: Apache-2.0
"""A RabbitMQ cluster, for quorum queues."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.servers.place import Place
from tests.servers.process import until
from tests.servers.rabbitmq import Broker

PATIENCE = 90.0
"""Seconds until a node has joined the others."""

NAMES_PORT = 4369
"""Port of the name server in each namespace; all nodes must have the same one."""


class BrokerNode(Broker):
    """One node.

    :param others: the addresses of all nodes.
    """

    def __init__(self, directory: Path, place: Place, others: Sequence[str]) -> None:
        nodes = "\n".join(
            f"cluster_formation.classic_config.nodes.{number} = rabbit@{address}"
            for number, address in enumerate(others, 1)
        )
        settings = f"cluster_formation.peer_discovery_backend = classic_config\n{nodes}\n"
        super().__init__(directory, place=place, settings=settings)
        self._names_port = NAMES_PORT

    def members(self) -> int:
        """Return how many nodes run in the cluster, as this one sees it; 0 without an answer."""
        try:
            return int(self.ctl("eval", "length(rabbit_mnesia:cluster_nodes(running))."))
        except RuntimeError:
            return 0

    def _prepare(self) -> None:
        super()._prepare()
        cookie = self.directory / ".erlang.cookie"
        cookie.write_text("holdfast")
        cookie.chmod(0o400)

    def _env(self) -> dict[str, str]:
        interface = self.place.address.replace(".", ",")
        return {
            **super()._env(),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                f"-kernel inet_dist_use_interface {{{interface}}}"
            ),
            "RABBITMQ_USE_LONGNAME": "true",
            "RABBITMQ_NODENAME": f"rabbit@{self.place.address}",
        }


class BrokerCluster:
    """The cluster; ``vhost()`` gives an empty virtual host as a URL with all nodes."""

    def __init__(self, directory: Path, places: Sequence[Place]) -> None:
        addresses = [place.address for place in places]
        self.nodes = [
            BrokerNode(directory / f"node-{number}", place, addresses)
            for number, place in enumerate(places, 1)
        ]

    def start(self) -> None:
        """Start all nodes at once; they find each other."""
        self.nodes[0].directory.parent.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(len(self.nodes)) as pool:
            list(pool.map(BrokerNode.start, self.nodes))
        self.wait_complete()

    def wait_complete(self) -> None:
        """Wait until every node runs in the cluster."""
        wanted = len(self.nodes)
        until(lambda: self.nodes[0].members() == wanted, PATIENCE, f"{wanted} nodes of RabbitMQ")

    def vhost(self) -> str:
        """Return the URL of an empty virtual host, for this caller alone."""
        first, *others = self.nodes
        url = first.vhost()
        start, _, name = url.rpartition("/")
        more = [f"guest:guest@{node.place.address}:{node.port}" for node in others]
        return f"{','.join([start, *more])}/{name}"

    def close(self) -> None:
        """End all nodes."""
        for node in self.nodes:
            node.close()
