# SPDX-License-Identifier: Apache-2.0
"""Name the casts that wait in the own queues of dead hosts of a cluster.

Messages about resources of a cluster go to its queue, which any host consumes. The queue of one
host gets those about rows without the name of the cluster, which no other host may change, and
those that were sent before the host joined. Nothing consumes them until the host is back: so they
are logged, and counted again at each report.
"""

from __future__ import annotations

import logging

from oslo_db.exception import DBError

from drivers.interface.records import Record
from flows.errors import Unavailable
from worker.db.criteria import BackendRows
from worker.db.records import Records
from worker.db.records.services.service import is_up
from worker.recovery.queue_proof import Depths
from worker.rpc import markers, topics

LOG = logging.getLogger(__name__)


class UnservedQueues:
    """Looks for casts that no living host of the cluster receives.

    :param depths: asks the broker.
    :param down_after: seconds without a heartbeat after which a host counts as down.
    """

    def __init__(
        self, records: Records, backend: BackendRows, depths: Depths, down_after: float
    ) -> None:
        self._records = records
        self._backend = backend
        self._depths = depths
        self._down_after = down_after
        self._logged: dict[str, int] = {}

    def check(self) -> None:
        """Log each number of waiting casts once.

        :raises Unavailable: the database does not answer.
        """
        if self._backend.cluster is None:
            return
        hosts = {queue: host for host in self._dead() for queue in _queues(host)}
        try:
            found = self._depths(list(hosts)) if hosts else {}
        except Exception as error:  # noqa: BLE001 - the broker is away: reported elsewhere
            LOG.debug("queues of dead hosts are not known: %s", error)
            return
        waiting = {queue: ready for queue, (ready, count) in found.items() if ready and not count}
        for queue, ready in waiting.items():
            if self._logged.get(queue) != ready:
                LOG.warning(
                    "%d messages wait in queue %s of host %s, which is down: they are about"
                    " resources without a cluster; start the host, or delete the queue",
                    *(ready, queue, hosts[queue]),
                )
        self._logged = waiting

    def another_serves(self) -> bool:
        """Return whether another host of the cluster is up; one whose driver is down is not."""
        if self._backend.cluster is None:
            return False
        try:
            return any(is_up(row, self._down_after) for row in self._others())
        except (Unavailable, DBError) as error:
            LOG.debug("other hosts of %s are not known: %s", self._backend.cluster, error)
            return True

    def _dead(self) -> list[str]:
        """Return the hosts of the cluster that are down."""
        return [row.host for row in self._others() if not is_up(row, self._down_after)]

    def _others(self) -> list[Record]:
        rows = self._records.services.list(binary=topics.TOPIC, cluster_name=self._backend.cluster)
        return [row for row in rows if row.host != self._backend.host]


def _queues(host: str) -> list[str]:
    """Return the queues of a host to which casts about its resources go."""
    node, _, backend = host.partition("@")
    return [markers.queue_of(target) for target in topics.volume_targets(node, backend, None)]
