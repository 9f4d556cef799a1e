# SPDX-License-Identifier: Apache-2.0
"""Hand messages to an intake without a bus, and wait until they are taken over or answered."""

from __future__ import annotations

import json
import types
from collections.abc import Callable, Mapping
from queue import SimpleQueue
from typing import Any

from worker.execution.intake import Intake
from worker.rpc.received.waiting_body import WaitingBody
from worker.rpc.server import Call, Cast

PATIENCE = 60.0
"""Seconds until a reply that does not come is a failure."""

Message = Mapping[str, Any]


def arrived(message: Message, context: Message | None = None, **fields: Any) -> Cast:
    """Return a cast as it arrives; the fields are those of :class:`Cast`."""
    context = context or {}
    inner = {**message, **{f"_context_{name}": value for name, value in context.items()}}
    text = json.dumps({"oslo.version": "2.0", "oslo.message": json.dumps(inner, default=str)})
    body = WaitingBody(types.SimpleNamespace(body=text))
    return Cast(body, lambda: (message, context), **fields)


def cast(
    intake: Intake,
    message: Message,
    context: Message,
    acknowledge: Callable[[], None] = lambda: None,
) -> None:
    """Hand a cast over; it is accepted on this thread, where there is room."""
    intake.cast(arrived(message, context, acknowledge=acknowledge))
    intake._casts.process()


def begin(intake: Intake, message: Message, context: Message, **fields: Any) -> SimpleQueue[Any]:
    """Hand a call over; return the queue of its reply. The fields are those of :class:`Call`."""
    replies: SimpleQueue[Any] = SimpleQueue()
    intake.call(Call(message, context, lambda *reply: replies.put(reply), **fields))
    return replies


def answer(replies: SimpleQueue[Any]) -> Any:
    """Wait for a reply; return its answer or raise its error."""
    result, error = replies.get(timeout=PATIENCE)
    if error is not None:
        raise error
    return result


def call(intake: Intake, message: Message, context: Message) -> Any:
    """Hand a call over and wait for its answer."""
    return answer(begin(intake, message, context))
