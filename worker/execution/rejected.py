# SPDX-License-Identifier: Apache-2.0
"""Keep rejected messages in the journal, with the reason, up to a limited number."""

from __future__ import annotations

import logging
import reprlib
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from worker.execution.log_limit import LogLimit
from worker.execution.retry import JournalRetry
from worker.journal.errors import JournalRefused
from worker.journal.journal import Journal
from worker.metrics.definitions import REJECTED
from worker.metrics.measurements import MEASURED
from worker.rpc.dispatch import BadMessage

LOG = logging.getLogger(__name__)

PRUNE_INTERVAL = 256
"""Rejected messages after which the oldest are removed."""

_BODY = 2000
"""Bytes of an unreadable message that are kept."""


class RejectedMessages:
    """Writes rejected messages to the journal.

    :param keep: how many are kept, the newest ones.
    """

    def __init__(
        self, journal: Journal, journal_retry: JournalRetry, keep: Callable[[], int]
    ) -> None:
        self._journal = journal
        self._journal_retry = journal_retry
        self._keep = keep
        self._count = 0
        self._log = LogLimit(LOG)

    def message(
        self,
        message: Mapping[str, Any],
        context: Mapping[str, Any],
        error: BadMessage,
        *,
        must: bool = False,
    ) -> None:
        """Keep a message that no endpoint accepts.

        :param must: whether to raise where the journal refuses it, instead of dropping it.
        :raises JournalRefused: it does.
        """
        method = str(message.get("method"))
        unique_id = str(message.get("_unique_id") or generated_id())
        request_id = context.get("request_id")
        shown = (reprlib.repr(unique_id), reprlib.repr(request_id))
        self._log.error("cast put aside: %.500s (message %s, request %s)", error, *shown)
        reason = f"{type(error).__name__}: {error}"
        try:
            self._write(unique_id, method, reason, request_id=request_id)
        except JournalRefused as refusal:
            if must:
                raise
            LOG.error("the message %s is not kept: %s", shown[0], refusal)

    def unreadable(self, body: Any, error: Exception) -> None:
        """Keep a message that cannot be read."""
        self._log.error("a message that cannot be read was put aside: %.500s", error)
        some = bytes(body[:_BODY]).decode(errors="replace") if isinstance(body, bytes) else body
        reason = f"not a message: {type(error).__name__}: {error}"
        try:
            self._write(generated_id(), "", reason, body=some)
        except JournalRefused as refusal:
            LOG.error("the message is not kept: %s", refusal)

    def _write(self, unique_id: str, method: str, reason: str, **ids: Any) -> None:
        self._count += 1
        MEASURED.count(REJECTED)
        if self._count % PRUNE_INTERVAL == 0:
            self._journal_retry.until_available(lambda: self._journal.prune_rejected(self._keep()))
        self._journal_retry.until_available(
            lambda: self._journal.reject(unique_id, method, reason, **ids)
        )


def generated_id() -> str:
    """Return an id for a message without one."""
    return uuid.uuid4().hex
