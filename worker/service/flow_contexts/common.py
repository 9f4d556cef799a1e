# SPDX-License-Identifier: Apache-2.0
"""The fields of the contexts of flows that both services fill alike."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

from flows.protocols.encryption_keys import Keys
from worker.adapters.keys.key_manager import KeyManager
from worker.db.records import CommonRecords
from worker.execution.concurrency import blocking
from worker.rpc.notifications.notifier import Notifier
from worker.rpc.request_context import RequestContext
from worker.service.parts import Infrastructure


class CommonFields(CommonRecords):
    """Fields of ``flows.context.OperationContext``."""

    keys: Keys
    request: RequestContext
    notifier: Notifier
    stopping: threading.Event
    waiting: Callable[[], AbstractContextManager[None]]


def common_fields(base: Infrastructure) -> CommonFields:
    """Return the fields of the context of a service; notifications do not block a slot."""
    notifier, limiter = base.notifier, base.limiter
    return {
        **base.records.of_flows(base.row),
        "keys": blocking(KeyManager(base.conf, base.stopping), limiter),
        "request": RequestContext.admin(),
        # One that sends nothing does not block.
        "notifier": blocking(notifier, limiter) if notifier.enabled else notifier,
        "stopping": base.stopping,
        "waiting": limiter.released,
    }
