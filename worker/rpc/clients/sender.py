# SPDX-License-Identifier: Apache-2.0
"""Send a message with a bounded number of tries; one error means that it was not sent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import kombu.exceptions
import oslo_messaging

from worker.call_log import MESSAGES, ShownMessage
from worker.compat import oslo_messaging as compat
from worker.rpc.request_context import ContextSerializer, RequestContext

_TRACE = "\nTraceback (most recent call last)"
"""Stands in the text of an error that came over the bus."""


class BusUnavailable(Exception):
    """The broker did not take a message within the tries."""


class Sender:
    """An RPC client whose tries end.

    oslo.messaging's own default is to try for ever.

    :param transport: an RPC transport.
    :param topic: where messages go that name no other topic.
    :param timeout: seconds to wait for an answer.
    """

    def __init__(self, transport: Any, topic: str, timeout: float = 60) -> None:
        self._client = oslo_messaging.get_rpc_client(
            transport,
            oslo_messaging.Target(topic=topic, version="3.0"),
            serializer=ContextSerializer(),
            timeout=timeout,
        )

    def cast(
        self,
        request: RequestContext,
        target: oslo_messaging.Target,
        method: str,
        args: Mapping[str, Any],
        *,
        retry: int,
    ) -> None:
        """Send without waiting for an answer.

        :param retry: tries after the first; with the default intervals 1 takes
            1 s, 3 take 9 s, and 8 take 64 s.
        :raises BusUnavailable: it was not sent.
        """
        _log("cast", target, method, args)
        with _sending(method):
            self._prepared(target, retry).cast(request, method, **args)

    def call(
        self,
        request: RequestContext,
        target: oslo_messaging.Target,
        method: str,
        args: Mapping[str, Any],
        *,
        retry: int,
    ) -> Any:
        """Send and return the answer.

        :raises BusUnavailable: it was not sent.
        :raises oslo_messaging.MessagingTimeout: no answer in time.
        :raises oslo_messaging.RemoteError: it failed there.
        """
        _log("call", target, method, args)
        with _sending(method):
            compat.connect(self._client.transport, retry)
            try:
                return self._prepared(target, retry).call(request, method, **args)
            except Exception as error:
                if (remote := _remote(error)) is None:
                    raise
                raise remote from error

    def _prepared(self, target: oslo_messaging.Target, retry: int) -> Any:
        return self._client.prepare(
            topic=target.topic or self._client.target.topic,
            server=target.server,
            fanout=target.fanout,
            version=target.version,
            retry=retry,
        )


def _log(kind: str, target: oslo_messaging.Target, method: str, args: Mapping[str, Any]) -> None:
    to = target.server or ("all" if target.fanout else "the topic")
    shown = ShownMessage({"method": method, "args": args})
    MESSAGES.debug("sends the %s %s to %s", kind, shown, to)


def _remote(error: Exception) -> oslo_messaging.RemoteError | None:
    """Return a built-in error of the other side as such; None if it is not one.

    oslo.messaging makes it anew here, as if it were ours.
    """
    text = str(error.args[0]) if error.args else ""
    if type(error).__module__ != "builtins" or _TRACE not in text:
        return None
    return oslo_messaging.RemoteError(type(error).__name__, text.partition("\n")[0])


@contextmanager
def _sending(method: str) -> Iterator[None]:
    try:
        yield
    except (
        kombu.exceptions.OperationalError,
        oslo_messaging.MessageDeliveryFailure,
        *compat.REFUSED,
    ) as error:
        raise BusUnavailable(f"{method} was not sent, the bus does not answer: {error}") from error
