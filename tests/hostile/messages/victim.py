# SPDX-License-Identifier: Apache-2.0
"""A service whose process some messages end: ``victim URL DIRECTORY``.

It creates the file ``ready`` when it consumes.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from worker.execution.slot_journal import SlotJournal

from worker.compat import native_threads  # noqa: F401  # isort: skip

import oslo_messaging
from oslo_config import cfg

from flows.host import freeze
from worker.execution.intake import Intake
from worker.execution.rejections.rejected import RejectedMessages
from worker.execution.retry import JournalRetry
from worker.journal.journal import Journal
from worker.rpc import server, transport
from worker.rpc.dispatch import Dispatcher, exposed
from worker.rpc.operation import Operation
from worker.rpc.received import message_limits
from worker.rpc.received.deliveries import Deliveries
from worker.rpc.request_context import RequestContext

TARGET = oslo_messaging.Target(topic="victim", server="h1")


class Endpoint:
    """A method that ends the process, and one that does not."""

    @exposed("3.0")
    def die(self, request: RequestContext) -> Operation:
        os._exit(9)

    @exposed("3.0")
    def good(self, request: RequestContext) -> Operation:
        return Operation(freeze.thaw, ("backend", "b1"), {})


class Operations(SimpleNamespace):
    """Accepts all operations, and runs none."""

    capacity_freed = threading.Event()

    def admits(self, operation: Operation, others: bool = False, ahead: Any = ()) -> bool:
        return True

    def start(self, operation: Operation, detail: Any) -> None: ...


def decoding_ends(check: Any) -> Any:
    """Return a decoder's check in which a text ends the process, as a decoder's fault would."""

    def checked(message: Any) -> None:
        if message.get("method") == "die_decoding":
            os._exit(9)
        check(message)

    return checked


def main(url: str, directory: Path) -> None:
    """Consume until the process ends."""
    conf = cfg.ConfigOpts()
    file = directory / "victim.conf"
    file.write_text(f"[DEFAULT]\ntransport_url = {url}\n", encoding="utf-8")
    conf([], default_config_files=[str(file)])
    journal = Journal(f"sqlite:///{directory}/journal.sqlite")
    journal.upgrade()
    stopping = threading.Event()
    own = SlotJournal(journal, JournalRetry(stopping), "h1/0")
    rejected = RejectedMessages(own, lambda: 100)
    intake = Intake(
        Dispatcher([Endpoint()], "3.0"),
        own,
        Operations(),  # type: ignore[arg-type]
        rejected,
        stopping=stopping,
    )
    intake.start()
    message_limits.check_values = decoding_ends(message_limits.check_values)
    bus = transport.get(conf, prefetch=8)
    deliveries = Deliveries(directory / "deliveries")
    server.Server(bus, TARGET, intake, deliveries).start()
    (directory / "ready").touch()
    time.sleep(600)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
