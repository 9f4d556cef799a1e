# SPDX-License-Identifier: Apache-2.0
"""Prove that journal and database can be used, also while no operation uses them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping

from oslo_db.exception import DBError

from flows.errors import FlowError
from flows.storable_errors import text_of
from worker.journal.errors import JournalError
from worker.service.monitoring.counted_rows import Counted
from worker.service.parts import Parts

LOG = logging.getLogger(__name__)

PAUSE = 10.0
"""Seconds between two probes of one system."""

SLOW = 30.0
"""Seconds after which a probe that has not returned is a fault."""

_FAULTS = (JournalError, DBError, FlowError, OSError)


class Probe:
    """Uses one system again and again, on a thread of its own.

    :param use: uses it once; raises when that fails.
    :param after: called after each probe, on its thread.
    """

    def __init__(
        self,
        system: str,
        use: Callable[[], object],
        after: Callable[[], None] = lambda: None,
    ) -> None:
        self._after = after
        self._system = system
        self._use = use
        self._fault = ""
        self._begun: float | None = None

    @property
    def fault(self) -> str:
        """Why the last probe failed, or that it has not returned; empty for neither."""
        begun = self._begun
        if begun is not None and (waits := time.monotonic() - begun) > SLOW:
            return f"it has not answered for {waits:.0f} s"
        return self._fault

    def start(self, stopping: threading.Event) -> None:
        """Start to probe, until the process stops."""
        name = f"probe-{self._system}"
        threading.Thread(target=self._loop, args=(stopping,), name=name, daemon=True).start()

    def once(self) -> None:
        """Use the system once."""
        self._begun = time.monotonic()
        try:
            self._use()
        except _FAULTS as error:
            self._fault = text_of(error)
        except Exception:
            LOG.exception("the %s could not be probed", self._system)
        else:
            self._fault = ""
        self._begun = None

    def _loop(self, stopping: threading.Event) -> None:
        while not stopping.is_set():
            self.once()
            self._after()
            stopping.wait(PAUSE)


def of(parts: Parts, counted: Mapping[str, Counted]) -> Mapping[str, Probe]:
    """Return the probes of a process, by the systems.

    :param counted: numbers that take a query.
    """
    uses = {"journal": parts.base.journal.prove_writable, "database": parts.base.row.get}
    return {
        system: Probe(system, use, counted[system].renew) if counted else Probe(system, use)
        for system, use in uses.items()
    }
