# SPDX-License-Identifier: Apache-2.0
"""A steady load of mixed operations, and a look at their ends."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable

from tests.cluster.load.cloud import ClusterCloud
from tests.cluster.load.ledger import Entry, Ledger
from tests.cluster.load.operations import Maker, Planned
from tests.cluster.load.stock import Stock

LOG = logging.getLogger(__name__)

KINDS = ("volume", "snapshot", "backup")
POLL = 0.25
"""Seconds between two looks at the rows."""


class Generator:
    """Casts operations from one thread, and looks at the rows from another one.

    :param rate: operations per second.
    :param most: operations that may be open at the same time.
    :param stock: resources of an earlier load.
    """

    def __init__(
        self,
        cloud: ClusterCloud,
        ledger: Ledger,
        chance: random.Random,
        *,
        rate: float = 4.0,
        most: int = 80,
        backups: bool = True,
        slow: float = 0.5,
        longest: float = 6.0,
        stock: Stock | None = None,
    ) -> None:
        self.ledger = ledger
        self._cloud = cloud
        self._stock = Stock(chance) if stock is None else stock
        self._maker = Maker(cloud, self._stock, chance, slow, longest)
        self._rate, self._most, self._backups = rate, most, backups
        self._planned: dict[str, Planned] = {}
        self._lock = threading.Lock()
        self._halt, self._end = threading.Event(), threading.Event()
        self.errors: deque[str] = deque(maxlen=20)
        self._sender = threading.Thread(target=self._send, daemon=True)
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    def start(self) -> None:
        """Begin to cast."""
        self._watcher.start()
        self._sender.start()

    def halt(self, patience: float = 60.0) -> None:
        """End the casts, and go on looking at the rows."""
        self._halt.set()
        self._sender.join(patience)
        assert not self._sender.is_alive(), "a cast waits for the broker"

    def drain(self, patience: float, away: Callable[[], float] = lambda: 0.0) -> list[Entry]:
        """Wait for all ends; return the operations that do not end.

        :param patience: seconds since the call, or since a server was last away.
        :param away: returns when a server was last away, by the monotonic clock.
        """
        began = time.monotonic()
        while self.ledger.open() and time.monotonic() < max(began, away()) + patience:
            time.sleep(POLL)
        return self.ledger.open()

    def close(self) -> None:
        """End both threads."""
        self._halt.set()
        self._end.set()
        self._sender.join(60)
        self._watcher.join(60)

    def look(self) -> None:
        """Look at the rows once."""
        for kind in KINDS:
            asked = self.ledger.open(kind)
            if asked:
                statuses = self._cloud.statuses(kind, [one.resource for one in asked])
                for entry in self.ledger.see(kind, statuses, asked):
                    self._ended(entry)

    def _send(self) -> None:
        due = time.monotonic()
        while not self._halt.is_set():
            due = max(due + 1 / self._rate, time.monotonic() - 1)
            try:
                self._one()
            except Exception as error:  # noqa: BLE001 - a fault may strike the load as well
                self.errors.append(f"{type(error).__name__}: {error}")
                LOG.debug("no operation was made", exc_info=True)
            self._halt.wait(max(0.0, due - time.monotonic()))

    def _one(self) -> None:
        if len(self.ledger.open()) >= self._most:
            return
        with self._lock:
            planned = self._maker.make(self._backups)
            if planned is None:
                return
            if planned.new is not None:
                self._stock.add(planned.new)
            self._stock.use(planned.uses)
            self._planned[planned.entry.request] = planned
        self.ledger.begin(planned.entry)
        if planned.waits:
            threading.Thread(target=self._call, args=(planned,), daemon=True).start()
            return
        try:
            planned.send()
        except Exception:
            self.ledger.withdraw(planned.entry)
            raise

    def _call(self, planned: Planned) -> None:
        self.ledger.finish(planned.entry, str(planned.send()))
        self._ended(planned.entry)

    def _watch(self) -> None:
        while not self._end.wait(POLL):
            try:
                self.look()
            except Exception as error:  # noqa: BLE001 - the database may be away
                self.errors.append(f"{type(error).__name__}: {error}")

    def _ended(self, entry: Entry) -> None:
        with self._lock:
            planned = self._planned.pop(entry.request)
            self._stock.release(planned.uses)
            if entry.failed:
                for id_ in planned.uses:
                    if id_ in self._stock.items:
                        self._stock.items[id_].broken = True
            elif planned.gone:
                self._stock.drop(planned.gone)
            elif planned.size:
                self._stock.items[entry.resource].size = planned.size
