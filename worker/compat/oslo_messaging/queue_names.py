# SPDX-License-Identifier: Apache-2.0
"""Names of reply and fanout queues with ``use_queue_manager``, numbered in each process.

The library numbers them in a file that all processes of a host and program share, under a lock
that needs ``lock_path``, and begins anew for each process group. So services of one host would
share names, and a process whose group's leader has exited fails. Here the name of the program
names one process, which keeps its numbers to itself.
"""

from __future__ import annotations

import itertools
import threading
from collections import defaultdict

from oslo_messaging._drivers import amqpdriver


class QueueNames:
    """Names that stay the same after a restart.

    :param hostname: a part of the names.
    :param processname: a part of the names, of which the bus has one process.
    """

    _numbers: defaultdict[tuple[str, str], itertools.count[int]] = defaultdict(
        lambda: itertools.count(1)
    )
    _guard = threading.Lock()

    def __init__(self, hostname: str, processname: str) -> None:
        self.hostname = hostname
        self.processname = processname

    def get(self) -> str:
        """Return the next name, for any connection of this process."""
        with self._guard:
            number = next(self._numbers[self.hostname, self.processname])
        return f"{self.hostname}:{self.processname}:{number}"

    def begin_anew(self) -> None:
        """Begin with 1 again, as after a restart."""
        with self._guard:
            self._numbers.pop((self.hostname, self.processname), None)


def number_queues_by_process(hostname: str, processname: str) -> None:
    """Have the transports of this process number their queues themselves, from 1 on."""
    amqpdriver.QManager = QueueNames
    QueueNames(hostname, processname).begin_anew()
