# SPDX-License-Identifier: Apache-2.0
"""The arguments that an operation's steps take, from the hints of their signatures.

Arguments that a journal stores are checked against them before a flow runs: a value of another
kind is a damaged or forged entry. So are stored results that a later step takes as a typed
dictionary; others are as the steps wrote them.
"""

from __future__ import annotations

import functools
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from taskflow import states
from taskflow.persistence.models import FlowDetail

from flows.factories import Factory, parameters_of

_CONTEXT = "ctx"
"""The argument that no entry has: the engine gives it."""

Hint = Any
"""A type, as ``typing.get_type_hints`` returns it."""


class BadStoredArguments(ValueError):
    """Stored arguments that do not fit the steps of their flow."""


def checked(factory: Factory, args: object) -> dict[str, Any]:
    """Return the stored arguments of a flow, without those that would hide a step's result.

    Others that no step takes are kept: an earlier version had a use for them.

    :raises BadStoredArguments: one is missing, or of a kind that no step takes.
    """
    if not isinstance(args, Mapping):
        raise BadStoredArguments("the arguments are no mapping")
    wanted = _parameters(factory) if parameters_of(factory) else hints_of(factory)
    if missing := sorted(wanted.keys() - args.keys()):
        raise BadStoredArguments(f"the arguments lack {', '.join(missing)}")
    for name, hints in wanted.items():
        if not all(_fits(args[name], hint) for hint in hints):
            raise BadStoredArguments(f"the argument {name} is of a wrong kind")
    hidden = _results(factory) | {_CONTEXT}
    return {str(name): value for name, value in args.items() if name not in hidden}


def check_results(factory: Factory, detail: FlowDetail) -> None:
    """Check the stored results of a flow's steps.

    :raises BadStoredArguments: a later step cannot take one.
    """
    wanted = _typed_results(factory)
    for atom in detail if wanted else ():
        hints = wanted.get(atom.name, ()) if atom.state == states.SUCCESS else ()
        if not all(_fits(atom.results, hint) for hint in hints):
            raise BadStoredArguments(f"the result of {atom.name} is of a wrong kind")


@functools.cache
def hints_of(factory: Factory) -> Mapping[str, tuple[Hint, ...]]:
    """Return the arguments of a flow's steps, each with the hints of all steps that take it."""
    flow = factory()
    found: dict[str, tuple[Hint, ...]] = {name: () for name in flow.requires if name != _CONTEXT}
    for step, _data in flow.iter_nodes():
        for method, rebind in (step.execute, step.rebind), (step.revert, step.revert_rebind):
            hints = typing.get_type_hints(method)
            for parameter, name in rebind.items():
                if name in found:
                    found[name] = (*found[name], hints.get(parameter, Any))
    return found


@functools.cache
def _typed_results(factory: Factory) -> Mapping[str, tuple[Hint, ...]]:
    """Return the steps whose results others take as typed dictionaries, with their hints."""
    steps = [] if parameters_of(factory) else [step for step, _data in factory().iter_nodes()]
    found: dict[str, tuple[Hint, ...]] = {}
    for step in steps:
        hints = typing.get_type_hints(step.execute)
        for parameter, name in step.rebind.items():
            hint = hints.get(parameter)
            for giver in steps if typing.is_typeddict(hint) else ():
                if name in giver.save_as:
                    found[giver.name] = (*found.get(giver.name, ()), hint)
    return found


@functools.cache
def _results(factory: Factory) -> frozenset[str]:
    return frozenset() if parameters_of(factory) else frozenset(factory().provides)


def _parameters(factory: Factory) -> Mapping[str, tuple[Hint, ...]]:
    hints = typing.get_type_hints(factory)
    return {name: (hints.get(name, Any),) for name in parameters_of(factory)}


def _fits(value: Any, hint: Hint) -> bool:
    """Return whether a JSON value is of a hint's kind."""
    if hint is Any:
        return True
    origin: Any = typing.get_origin(hint) or hint
    parts = typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return any(_fits(value, part) for part in parts)
    if origin is typing.Literal:
        return any(value == part and type(value) is type(part) for part in parts)
    if typing.is_typeddict(origin):
        return isinstance(value, dict) and all(
            name in value and _fits(value[name], part)
            for name, part in typing.get_type_hints(origin).items()
        )
    if origin in (type(None), str, bool):
        return isinstance(value, origin)
    if origin is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if issubclass(origin, Mapping):
        return isinstance(value, dict)
    if issubclass(origin, Sequence):
        return isinstance(value, list) and all(_fits(one, part) for one in value for part in parts)
    return isinstance(value, origin)
