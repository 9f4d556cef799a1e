# SPDX-License-Identifier: Apache-2.0
"""Casts to and calls of a service, checked against the signatures of its methods.

Each method is sent in the lowest version that has it (spec/volume-rpc §1,
spec/backup-rpc §1, spec/service §2).
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import oslo_messaging

from drivers.interface.records import Record
from worker.rpc import codec, objects
from worker.rpc.clients.sender import Sender
from worker.rpc.request_context import RequestContext

_RETRIES = 3

EncodeObject = Callable[[Mapping[str, Any], str], dict[str, Any]]
"""Makes an object of a record, for a receiver's object version."""


@dataclass(frozen=True)
class RemoteMethod:
    """How a method is sent.

    :param version: the lowest RPC version that has it.
    :param arguments: the required arguments.
    :param optional: the optional ones.
    :param answers: whether it is a call.
    :param fanout: whether all services of a topic get it.
    """

    version: str
    arguments: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    answers: bool = False
    fanout: bool = False

    def check(self, name: str, args: Mapping[str, Any]) -> None:
        """:raises ValueError: arguments are missing, or unknown."""
        if missing := [a for a in self.arguments if a not in args]:
            raise ValueError(f"{name} lacks {', '.join(missing)}")
        if unknown := sorted(set(args) - {*self.arguments, *self.optional}):
            raise ValueError(f"{name} has no {', '.join(unknown)}")


def cast(version: str, arguments: str = "", optional: str = "", **flags: bool) -> RemoteMethod:
    """Return a method without an answer; the names are divided by spaces."""
    return RemoteMethod(version, tuple(arguments.split()), tuple(optional.split()), **flags)


def call(version: str, arguments: str = "", optional: str = "") -> RemoteMethod:
    """Return a method with an answer."""
    return cast(version, arguments, optional, answers=True)


class ServiceClient(abc.ABC):
    """Casts to and calls of the services of one topic.

    :param transport: an RPC transport.
    :param timeout: how long to wait for an answer, in seconds.
    :param object_version: the oldest object version among the services.
    """

    topic: ClassVar[str]
    label: ClassVar[str]
    """The service, in the text of an error."""

    methods: ClassVar[Mapping[str, RemoteMethod]]
    encoders: ClassVar[Mapping[str, EncodeObject]]
    """Arguments whose records become objects."""

    def __init__(
        self,
        transport: Any,
        timeout: float = 60,
        object_version: str = objects.OBJECT_VERSION,
    ) -> None:
        self._sender = Sender(transport, self.topic, timeout)
        self._object_version = object_version

    @abc.abstractmethod
    def target(self, host: str | None, version: str) -> oslo_messaging.Target:
        """Return the target of messages to one service. :raises InvalidVolume: no host."""

    def fanout_topic(self, host: str | None) -> str:
        """Return the topic whose services all get a message."""
        return self.topic

    def cast(self, request: RequestContext, host: str | None, method: str, /, **args: Any) -> None:
        """Send a method and wait for nothing; a call may be sent so as well.

        :param host: ``topics.address`` of the resource; a fanout without one goes to
            every service of the topic.
        :param args: records and rows are encoded, everything else goes as it is.
        :raises ValueError: no such method, or not its arguments, or no object of a record.
        :raises InvalidVolume: there is no host.
        :raises BusUnavailable: it was not sent.
        """
        target, encoded = self._prepared(host, method, args)
        self._sender.cast(request, target, method, encoded, retry=_RETRIES)

    def cast_to_all(self, request: RequestContext, host: str, method: str, /, **args: Any) -> None:
        """Send a method that one process gets to all processes of a topic instead.

        :raises BusUnavailable: it was not sent.
        """
        target, encoded = self._prepared(host, method, args)
        every = oslo_messaging.Target(
            topic=self.fanout_topic(host), fanout=True, version=target.version
        )
        self._sender.cast(request, every, method, encoded, retry=_RETRIES)

    def call(self, request: RequestContext, host: str, method: str, /, **args: Any) -> Any:
        """Send a method and return its answer, with its objects readable.

        :raises oslo_messaging.RemoteError: it failed there.
        :raises oslo_messaging.MessagingTimeout: no answer in time.
        """
        target, encoded = self._prepared(host, method, args)
        if not self.methods[method].answers:
            raise ValueError(f"{method} gives no answer: it can only be cast")
        return codec.decode(self._sender.call(request, target, method, encoded, retry=_RETRIES))

    def _prepared(
        self, host: str | None, method: str, args: Mapping[str, Any]
    ) -> tuple[oslo_messaging.Target, dict[str, Any]]:
        if method not in self.methods:
            raise ValueError(f"the {self.label} has no method {method}")
        known = self.methods[method]
        known.check(method, args)
        encoded = {name: self._encoded(name, value) for name, value in args.items()}
        if not known.fanout:
            return self.target(host, known.version), encoded
        topic = self.fanout_topic(host)
        return oslo_messaging.Target(topic=topic, fanout=True, version=known.version), encoded

    def _encoded(self, name: str, value: Any) -> Any:
        if isinstance(value, Record) and name not in self.encoders:
            raise ValueError(f"the argument {name} takes no record of a {value.kind}")
        value = codec.raw(value)
        if name in self.encoders and isinstance(value, Mapping) and not codec.is_object(value):
            return self.encoders[name](value, self._object_version)
        return value
