# SPDX-License-Identifier: Apache-2.0
"""The operation that a message asks for: a flow, its arguments, and the locks around it."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from flows.factories import Factory, factory_of, path_of
from worker.rpc.request_context import RequestContext
from worker.spans.traces import ACCEPTED, TRACES

WhenInterrupted = Literal["finish", "revert"]

LOCK_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z_.@#-]{0,99}")
"""A name of a lock, which becomes that of a file in the directory of locks."""

_NO_REQUEST = RequestContext({})


@dataclass(frozen=True)
class Operation:
    """One cast or call, from the endpoint method that makes it to the end of its flow.

    The dispatcher adds ``method``, ``quick``, ``message_id`` and ``request``. A journal entry
    keeps everything but ``answer`` and ``quick``, so that a later process can resume the flow.

    :param factory: a registered flow factory.
    :param resource: kind and id, for log lines and listings.
    :param args: the factory's arguments and the tasks' inputs; JSON values only.
    :param exclusive: names of locks that no other operation holds meanwhile.
    :param shared: names of locks that other operations may share meanwhile.
    :param answer: makes the reply of a call from the flow's result.
    :param when_interrupted: ``finish`` resumes the flow after a restart; ``revert`` reverts
        it, where the result is of no use once the caller is gone.
    :param moves_data: whether it is a data transfer, which runs on threads of its own and
        waits for other data transfers only.
    :param quick: whether it is done in a moment, so that it waits for other such ones only.
    :param message_id: the id of its message, by which a second delivery is known.
    """

    factory: Factory
    resource: tuple[str, str]
    args: Mapping[str, Any]
    exclusive: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()
    answer: Callable[[Any], Any] | None = None
    when_interrupted: WhenInterrupted = "finish"
    moves_data: bool = False
    quick: bool = False
    method: str = ""
    message_id: str = field(default="", compare=False)
    request: RequestContext = field(default=_NO_REQUEST, compare=False, repr=False)

    def __str__(self) -> str:
        return f"{self.method} of {self.resource[0]} {self.resource[1]}"

    def to_meta(self) -> dict[str, Any]:
        """Return the meta of the flow's entry in the journal; the request without secrets."""
        return {
            "method": self.method,
            "factory": path_of(self.factory),
            "args": dict(self.args),
            "request": self.request.to_journal(),
            "resource": list(self.resource),
            "locks": list(self.exclusive),
            "shared": list(self.shared),
            "when_cut_short": self.when_interrupted,
            "moves_data": self.moves_data,
            "resumes": 0,
            "claims": True,
            **({ACCEPTED: time.time()} if TRACES.are_on else {}),
        }

    @classmethod
    def from_meta(cls, meta: Any) -> Operation:
        """Read an operation back; the meta may be anything.

        :raises NotOfThisVersion: another version may have such a flow.
        :raises LookupError: it is not the meta of an operation.
        :raises ValueError: a field is of a wrong kind.
        """
        if not isinstance(meta, Mapping):
            raise ValueError("it is no mapping")
        kind, resource_id = _texts(meta, "resource")
        factory = factory_of(meta["factory"])
        when_interrupted = meta.get("when_cut_short", "finish")
        if when_interrupted not in get_args(WhenInterrupted):
            raise ValueError(f"when_cut_short is {when_interrupted!r:.100}")
        return cls(
            factory=factory,
            resource=(kind, resource_id),
            args=_mapping(meta, "args"),
            exclusive=_locks(meta, "locks"),
            shared=_locks(meta, "shared"),
            when_interrupted=when_interrupted,
            moves_data=meta.get("moves_data") is True,
            method=_text(meta, "method"),
            request=RequestContext.from_journal(_mapping(meta, "request")),
        )


def _text(meta: Mapping[str, Any], name: str) -> str:
    if not isinstance(value := meta[name], str):
        raise ValueError(f"{name} is no text")
    return value


def _texts(meta: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = meta[name]
    if not isinstance(value, list | tuple) or not all(isinstance(one, str) for one in value):
        raise ValueError(f"{name} is no list of texts")
    return tuple(value)


def _locks(meta: Mapping[str, Any], name: str) -> tuple[str, ...]:
    found = _texts(meta, name)
    if not all(map(LOCK_NAME.fullmatch, found)):
        raise ValueError(f"{name} has a text that is no name of a lock")
    return found


def _mapping(meta: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    if not isinstance(value := meta[name], Mapping):
        raise ValueError(f"{name} is no mapping")
    return value


def generated_id() -> str:
    """Return an id for a message without one, which nothing can know at a second delivery."""
    return uuid.uuid4().hex
