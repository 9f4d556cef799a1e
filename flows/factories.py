# SPDX-License-Identifier: Apache-2.0
"""Flow factories and the names under which a journal stores them."""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING

from flows import former_names

if TYPE_CHECKING:  # taskflow's flows load networkx, which a look-up of names does not need
    from taskflow.flow import Flow

Factory = Callable[..., "Flow"]
"""Makes the flow of an operation; its arguments are JSON values."""


def path_of(factory: Factory) -> str:
    """Return ``package.module:name``, by which :func:`factory_of` finds a factory again."""
    return f"{factory.__module__}:{factory.__qualname__}"


def factory_of(path: str) -> Factory:
    """Import ``package.module:name``, which may be a name that an earlier version used.

    :raises LookupError: there is no such factory (a journal of a newer version).
    """
    module, _, name = former_names.present_factory(path).partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise LookupError(f"no flow factory {path}") from error
    if not callable(found):
        raise LookupError(f"{path} is no flow factory")
    return found  # type: ignore[no-any-return]


@functools.cache
def parameters_of(factory: Factory) -> tuple[str, ...]:
    """Return the names of a factory's parameters."""
    return tuple(inspect.signature(factory).parameters)
