# SPDX-License-Identifier: Apache-2.0
"""Dispatch messages to endpoint methods: check the method, its version and arguments.

A method of an endpoint is callable over the bus when :func:`exposed` marks it; its
Python signature names the arguments that a message must carry.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from worker.rpc import codec
from worker.rpc.operation import Operation, generated_id
from worker.rpc.received import argument_forms
from worker.rpc.request_context import RequestContext

F = TypeVar("F", bound=Callable[..., Any])

_MARK = "_rpc_exposed"

_SHOWN = 1000
"""Characters of the reason why a message is refused."""


class BadMessage(Exception):
    """A message that no endpoint accepts: a cast is kept as rejected, a call fails.

    The text is for a log and a caller. It is cut, since it names parts of the message, of which
    each may have a mebibyte.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")


class UnknownMethod(BadMessage):
    """No endpoint has this method."""


class UnsupportedVersion(BadMessage):
    """The message needs another RPC version than the service's."""


class BadArguments(BadMessage):
    """An argument is missing or malformed."""


class DuplicateMethod(Exception):
    """Two endpoints of one dispatcher expose the same method."""


@dataclass(frozen=True)
class DirectCall:
    """A call of an endpoint method that starts no flow.

    :param invoke: calls the method.
    """

    method: str
    invoke: Callable[[], Any]


def exposed(*since: str, journalled: bool = True, quick: bool = False) -> Callable[[F], F]:
    """Make a method callable over the bus.

    :param since: the first RPC version that has the method, as ``3.15``; one for each
        service that offers it.
    :param journalled: whether the method returns the :class:`Operation` to run, of which a
        cast survives a kill; False for a method that returns its answer at once and changes
        no resource.
    :param quick: whether its operation is done in a moment: a cast of it does not wait behind
        casts that take long.
    """

    def mark(method: F) -> F:
        setattr(method, _MARK, _Mark(tuple(map(_version, since)), journalled, quick))
        return method

    return mark


class Dispatcher:
    """Find the endpoint method for a message.

    :param endpoints: objects with :func:`exposed` methods.
    :param version: the service's RPC version; a message may name the same major version
        and a minor version up to this one.
    :raises DuplicateMethod: two endpoints expose the same method.
    """

    def __init__(self, endpoints: Iterable[object], version: str) -> None:
        self._targets: dict[str, _Target] = {}
        self._ours = _version(version)
        for endpoint in endpoints:
            for name, target in _targets_of(endpoint):
                if other := self._targets.get(name):
                    raise DuplicateMethod(f"{other.owner} and {target.owner} both expose {name}")
                self._targets[name] = target

    @property
    def methods(self) -> frozenset[str]:
        """The names of all methods that are callable over the bus."""
        return frozenset(self._targets)

    def has(self, method: str) -> bool:
        """Return whether a method is callable over the bus."""
        return method in self._targets

    @property
    def quick(self) -> frozenset[str]:
        """The names of the methods whose operations are done in a moment."""
        return frozenset(name for name, target in self._targets.items() if target.quick)

    @property
    def journalled(self) -> frozenset[str]:
        """The names of the methods whose casts survive a kill."""
        return frozenset(name for name, target in self._targets.items() if target.journalled)

    def dispatch(
        self, message: Mapping[str, Any], context: Mapping[str, Any]
    ) -> Operation | DirectCall:
        """Return the operation that a message asks for, or the method to call.

        :raises BadMessage: with the method and the reason.
        """
        method = message.get("method")
        if not isinstance(method, str) or method.startswith("_"):
            raise UnknownMethod(f"no method in the message: {method!r}")
        target = self._targets.get(method)
        if target is None:
            raise UnknownMethod(f"unknown method {method}")
        self._check_version(method, message.get("version") or "1.0")
        if message.get("namespace"):
            raise UnknownMethod(f"{method} in unknown namespace {message['namespace']}")
        request = RequestContext.from_wire(dict(context))
        arguments = target.arguments(method, message.get("args") or {})
        if not target.journalled:
            return DirectCall(method, functools.partial(target.call, request, **arguments))
        made: Operation = target.call(request, **arguments)
        args = {name: codec.raw(value) for name, value in made.args.items()}
        return replace(
            made,
            method=method,
            quick=target.quick,
            message_id=str(message.get("_unique_id") or generated_id()),
            request=request,
            args=args,
        )

    def _check_version(self, method: str, text: Any) -> None:
        try:
            major, minor = _version(str(text))
        except ValueError:
            raise UnsupportedVersion(f"{method} has {text!r}, which is no version") from None
        ours = f"{self._ours[0]}.{self._ours[1]}"
        if major != self._ours[0] or minor > self._ours[1]:
            raise UnsupportedVersion(f"{method} needs version {text}, ours is {ours}")


@dataclass(frozen=True)
class _Mark:
    since: tuple[tuple[int, int], ...]
    journalled: bool
    quick: bool


@dataclass(frozen=True)
class _Target:
    """One method of an endpoint, with the arguments of its Python signature.

    :param owner: the name of the endpoint's class.
    """

    call: Callable[..., Any]
    owner: str
    journalled: bool
    quick: bool
    known: frozenset[str]
    required: frozenset[str]

    def arguments(self, method: str, args: Any) -> dict[str, Any]:
        """Decode the arguments of a message. :raises BadArguments: one is missing or malformed."""
        if not isinstance(args, Mapping):
            raise BadArguments(f"{method}: the arguments are no mapping")
        try:
            decoded = {str(name): codec.decode(value, str(name)) for name, value in args.items()}
            for name in self.known & decoded.keys():
                argument_forms.check(name, decoded[name])
        except (codec.MalformedObject, argument_forms.BadForm) as error:
            raise BadArguments(f"{method}: {error}") from error
        if missing := sorted(self.required - decoded.keys()):
            raise BadArguments(f"{method} lacks {', '.join(missing)}")
        # A newer sender may add arguments that this version does not need.
        return {name: value for name, value in decoded.items() if name in self.known}


def _targets_of(endpoint: object) -> Iterator[tuple[str, _Target]]:
    for name, _function in inspect.getmembers(type(endpoint), inspect.isfunction):
        method = getattr(endpoint, name)
        mark = getattr(method, _MARK, None)
        if mark is None:
            continue
        parameters = list(inspect.signature(method).parameters.values())[1:]
        yield (
            name,
            _Target(
                call=method,
                owner=type(endpoint).__name__,
                journalled=mark.journalled,
                quick=mark.quick,
                known=frozenset(p.name for p in parameters),
                required=frozenset(p.name for p in parameters if p.default is p.empty),
            ),
        )


def _version(text: str) -> tuple[int, int]:
    major, _, minor = text.partition(".")
    return int(major), int(minor or 0)
