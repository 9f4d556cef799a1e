# SPDX-License-Identifier: Apache-2.0
"""From a message to an endpoint method: its name, version and arguments checked.

A method of an endpoint class is callable over the bus when :func:`exposed` marks
it; its Python signature says which arguments a message must carry.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from worker.rpc import codec
from worker.rpc.context import RequestContext

F = TypeVar("F", bound=Callable[..., Any])

_MARK = "_rpc_since"


class BadMessage(Exception):
    """A message that no endpoint can take; it is kept as rejected, or told to the caller."""


class UnknownMethod(BadMessage):
    """No endpoint has this method."""


class UnsupportedVersion(BadMessage):
    """The message needs another RPC version than ours."""


class BadArguments(BadMessage):
    """An argument is missing, or not what it should be."""


@dataclass(frozen=True)
class Bound:
    """A message that fits an endpoint method.

    :param invoke: the call to make; it is cheap and touches nothing.
    :param journalled: whether a cast of it must survive a kill.
    """

    method: str
    unique_id: str
    request: RequestContext
    invoke: Callable[[], Any]
    journalled: bool


def exposed(since: str, *, journalled: bool = True) -> Callable[[F], F]:
    """Make a method callable over the bus.

    :param since: the RPC version that has it first, as ``3.15``.
    :param journalled: False for what answers at once and changes no resource.
    """

    def mark(method: F) -> F:
        setattr(method, _MARK, (_version(since), journalled))
        return method

    return mark


class Dispatcher:
    """Finds the endpoint method for a message.

    :param endpoint: an object with :func:`exposed` methods.
    :param version: our RPC version; the same major and a minor up to ours is taken.
    """

    def __init__(self, endpoint: object, version: str) -> None:
        self._endpoint = endpoint
        self._ours = _version(version)

    @staticmethod
    def journalled(endpoint: type) -> list[str]:
        """Return the methods of an endpoint class of which a cast survives a kill."""
        marks = {name: getattr(getattr(endpoint, name), _MARK, None) for name in dir(endpoint)}
        return [name for name, mark in marks.items() if mark is not None and mark[1]]

    def bind(self, message: Mapping[str, Any], context: Mapping[str, Any]) -> Bound:
        """Check a message against the endpoint.

        :raises BadMessage: with what is wrong and which method it was for.
        """
        method = message.get("method")
        if not isinstance(method, str) or method.startswith("_"):
            raise UnknownMethod(f"no method in the message: {method!r}")
        target = getattr(self._endpoint, method, None)
        mark = getattr(target, _MARK, None)
        if target is None or mark is None:
            raise UnknownMethod(f"unknown method {method}")
        self._check_version(method, message.get("version") or "1.0")
        if message.get("namespace"):
            raise UnknownMethod(f"{method} in unknown namespace {message['namespace']}")
        request = RequestContext.from_wire(dict(context))
        arguments = self._arguments(target, method, message.get("args") or {})
        return Bound(
            method=method,
            unique_id=str(message.get("_unique_id") or ""),
            request=request,
            invoke=functools.partial(target, request, **arguments),
            journalled=mark[1],
        )

    def _check_version(self, method: str, text: Any) -> None:
        try:
            major, minor = _version(str(text))
        except ValueError:
            raise UnsupportedVersion(f"{method} has the version {text!r}") from None
        ours = f"{self._ours[0]}.{self._ours[1]}"
        if major != self._ours[0] or minor > self._ours[1]:
            raise UnsupportedVersion(f"{method} needs version {text}, ours is {ours}")

    def _arguments(self, target: Any, method: str, args: Any) -> dict[str, Any]:
        if not isinstance(args, Mapping):
            raise BadArguments(f"{method}: the arguments are no mapping")
        try:
            decoded = {str(name): codec.decode(value, str(name)) for name, value in args.items()}
        except codec.MalformedObject as error:
            raise BadArguments(f"{method}: {error}") from error
        signature = _signature(target.__func__)
        if missing := sorted(signature.required - decoded.keys()):
            raise BadArguments(f"{method} lacks {', '.join(missing)}")
        # A newer sender may add arguments; what we do not know we do not need.
        return {name: value for name, value in decoded.items() if name in signature.known}


@dataclass(frozen=True)
class _Signature:
    known: frozenset[str]
    required: frozenset[str]


@functools.cache
def _signature(function: Callable[..., Any]) -> _Signature:
    parameters = list(inspect.signature(function).parameters.values())[2:]
    return _Signature(
        known=frozenset(p.name for p in parameters),
        required=frozenset(p.name for p in parameters if p.default is p.empty),
    )


def _version(text: str) -> tuple[int, int]:
    major, _, minor = text.partition(".")
    return int(major), int(minor or 0)
