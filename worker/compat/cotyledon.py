# SPDX-License-Identifier: Apache-2.0
"""Private parts of cotyledon: a manager that waits for its turn before it forks a process.

Its own pause between two processes has one length, which it waits before the first one, too.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import cotyledon
from cotyledon.types import ServiceId, WorkerId


class ServiceManager(cotyledon.ServiceManager):
    """Starts no process any more once it stops.

    :param turn: called before each process is forked, with the event that is set by a stop.
    """

    def __init__(self, turn: Callable[[threading.Event], None], **options: Any) -> None:
        super().__init__(wait_interval=0, **options)
        self._turn = turn

    def _start_worker(self, service_id: ServiceId, worker_id: WorkerId) -> None:
        self._turn(self._dead)
        if not self._dead.is_set():
            super()._start_worker(service_id, worker_id)
