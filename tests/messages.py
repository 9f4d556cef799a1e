# SPDX-License-Identifier: Apache-2.0
"""Hand messages to an intake without a bus, and wait until they are taken over or answered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from queue import SimpleQueue
from typing import Any

from worker.execution.intake import Intake
from worker.rpc.server import Call, Cast

PATIENCE = 60.0
"""Seconds until a reply that does not come is a failure."""

Message = Mapping[str, Any]


def cast(
    intake: Intake,
    message: Message,
    context: Message,
    acknowledge: Callable[[], None] = lambda: None,
) -> None:
    """Hand a cast over; it is accepted on this thread, where there is room."""
    intake.cast(Cast(message, context, acknowledge))
    intake._casts.process()


def begin(intake: Intake, message: Message, context: Message, size: int = 0) -> SimpleQueue[Any]:
    """Hand a call over, of a message of so many bytes; return the queue of its reply."""
    replies: SimpleQueue[Any] = SimpleQueue()
    intake.call(Call(message, context, lambda *reply: replies.put(reply), size=size))
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
