# SPDX-License-Identifier: Apache-2.0
"""Registry of flow factories, and the names under which a journal stores them.

A journal is data: an entry may name any module and function. So only functions that
:func:`registered` has marked are found by name, and only modules of this package are imported
for that.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from flows import former_names

if TYPE_CHECKING:  # taskflow's flows load networkx, which a look-up of names does not need
    from taskflow.flow import Flow

Factory = Callable[..., "Flow"]
"""Makes the flow of an operation; its arguments are JSON values."""

F = TypeVar("F", bound=Callable[..., Any])

_REGISTRY: dict[str, Factory] = {}

_OURS = re.compile(r"flows(?:\.[a-z0-9_]+)+:[a-z0-9_]+")
"""Names of the factories of all versions."""


class NotOfThisVersion(LookupError):
    """A name that a factory of another version may have."""


def registered(factory: F) -> F:
    """Register a factory under its module and name, so that a journal may name it."""
    _REGISTRY[_path(factory)] = factory
    return factory


def path_of(factory: Factory) -> str:
    """Return ``package.module:name``, by which :func:`factory_of` finds a factory again.

    :raises LookupError: it is not registered, so that nothing could resume its flows.
    """
    path = _path(factory)
    if path not in _REGISTRY:
        raise LookupError(f"{path} is not registered as a flow factory")
    return path


def factory_of(path: object) -> Factory:
    """Return the registered factory of a name, which may be one that an earlier version used.

    :raises NotOfThisVersion: another version may have such a factory.
    :raises LookupError: no version has.
    """
    present = former_names.present_factory(path) if isinstance(path, str) else ""
    if present not in _REGISTRY:
        if not _OURS.fullmatch(present):
            raise LookupError(f"{path!r:.100} is no flow factory")
        try:
            importlib.import_module(present.partition(":")[0])
        except ImportError as error:
            raise NotOfThisVersion(f"no flow factory {path}") from error
    try:
        return _REGISTRY[present]
    except KeyError:
        raise NotOfThisVersion(f"no flow factory {path}") from None


@functools.cache
def parameters_of(factory: Factory) -> tuple[str, ...]:
    """Return the names of a factory's parameters."""
    return tuple(inspect.signature(factory).parameters)


def _path(factory: Factory) -> str:
    return f"{factory.__module__}:{factory.__qualname__}"
