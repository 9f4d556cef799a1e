# SPDX-License-Identifier: Apache-2.0
"""Keep rejected messages in the journal, with the reason, up to a limited number.

Their contents are kept as those of operations are, without the secrets of the request, so that an
operator can have them accepted after all.
"""

from __future__ import annotations

import json
import logging
import reprlib
from collections.abc import Callable, Mapping
from typing import Any

from worker.execution.log_limit import LogLimit
from worker.execution.slot_journal import SlotJournal
from worker.journal.errors import JournalRefused
from worker.metrics.definitions import REJECTED
from worker.metrics.measurements import MEASURED
from worker.rpc.dispatch import BadMessage
from worker.rpc.operation import generated_id
from worker.rpc.request_context import RequestContext

LOG = logging.getLogger(__name__)

PRUNE_INTERVAL = 256
"""Rejected messages after which the oldest are removed."""

CONTENTS_MAX = 32_768
"""Characters of a message, as JSON, that are kept; of a longer one only the reason."""

_PARTS = ("method", "version", "namespace", "args")
"""Parts of a message that make an operation."""

_BODY = 2000
"""Bytes of an unreadable message that are kept."""


class RejectedMessages:
    """Writes rejected messages to the journal.

    Each names the slot of this process, to which an operator's request goes.

    :param keep: returns how many are kept, the newest ones.
    """

    def __init__(self, journal: SlotJournal, keep: Callable[[], int]) -> None:
        self._rejected = journal.journal.rejected
        self._until_available = journal.retry.until_available
        self._keep = keep
        self._slot = journal.slot
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
        ids = {"request_id": request_id, "slot": self._slot}
        try:
            self._write(unique_id, method, reason, {} if must else _contents(message, context), ids)
        except JournalRefused as refusal:
            if must:
                raise
            LOG.error("the contents of message %s are not kept: %s", shown[0], refusal)
            self._without_contents(unique_id, method, reason, ids)

    def _without_contents(
        self, unique_id: str, method: str, reason: str, ids: Mapping[str, Any]
    ) -> None:
        try:
            self._write(unique_id, method, reason, {}, ids)
        except JournalRefused as refusal:
            LOG.error("the message %.100r is not kept: %s", unique_id, refusal)

    def unreadable(self, body: Any, error: Exception) -> None:
        """Keep a message that cannot be read."""
        self._log.error("a message that cannot be read was put aside: %.500s", error)
        some = bytes(body[:_BODY]).decode(errors="replace") if isinstance(body, bytes) else body
        reason = f"not a message: {type(error).__name__}: {error}"
        try:
            self._write(generated_id(), "", reason, {}, {"body": some, "slot": self._slot})
        except JournalRefused as refusal:
            LOG.error("the message is not kept: %s", refusal)

    def _write(
        self,
        unique_id: str,
        method: str,
        reason: str,
        contents: Mapping[str, Any],
        ids: Mapping[str, Any],
    ) -> None:
        self._count += 1
        MEASURED.count(REJECTED)
        if self._count % PRUNE_INTERVAL == 0:
            self._until_available(lambda: self._rejected.prune(self._keep()))
        self._until_available(
            lambda: self._rejected.add(unique_id, method, reason, contents, **ids)
        )


def _contents(message: Mapping[str, Any], context: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message and its request as the journal keeps them; nothing of a long one."""
    try:
        request = RequestContext.from_wire(dict(context)).to_journal()
        if not context.get("request_id"):
            del request["request_id"]  # one that was made up here
        kept = {
            "message": {name: message[name] for name in _PARTS if name in message},
            "request": request,
        }
        return kept if len(json.dumps(kept)) <= CONTENTS_MAX else {}
    except Exception as error:  # noqa: BLE001 - the message may hold anything at all
        LOG.debug("the contents of a message are not kept: %s", error)
        return {}
