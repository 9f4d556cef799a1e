# SPDX-License-Identifier: Apache-2.0
"""Defer the parts of networkx that taskflow does not use: import this before taskflow.

``import networkx`` loads 240 modules of algorithms, generators and file formats, 10 MiB in
each process, a seventh of the whole. Here their packages exist from the start, and their
``__init__`` run when a name is missing: another user of networkx finds all of it.
"""

from __future__ import annotations

import importlib
import sys
import threading
from importlib.machinery import PathFinder
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Any

_PACKAGES = ("generators", "readwrite", "algorithms", "linalg")
"""In the order in which networkx imports them."""

_USED = ("generators.classic", "algorithms.dag", "algorithms.operators")
"""Modules with the functions that taskflow calls, itself or through networkx.Graph."""

_deferred: list[ModuleType] = []
_loading = threading.RLock()


class _Deferred(ModuleType):
    """A package whose ``__init__`` has not run."""

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("__"):
            _load_all()
        return super().__getattribute__(name)


def _load_all() -> None:
    with _loading:
        while _deferred:
            package = _deferred.pop(0)  # first: its own __init__ asks for missing names
            package.__spec__.loader.exec_module(package)  # type: ignore[union-attr]
            _export(package, sys.modules["networkx"])


def _export(module: ModuleType, package: ModuleType) -> None:
    """Copy public names into a package, as ``from module import *`` in it does."""
    names = getattr(module, "__all__", [name for name in vars(module) if name[0] != "_"])
    vars(package).update((name, getattr(module, name)) for name in names)


def _defer(path: list[str]) -> None:
    for name in _PACKAGES:
        if spec := PathFinder.find_spec(f"networkx.{name}", path):
            package = sys.modules[spec.name] = module_from_spec(spec)
            package.__class__ = _Deferred
            _deferred.append(package)
    networkx = importlib.import_module("networkx")
    networkx.__class__ = _Deferred
    for name in _USED:
        module = importlib.import_module(f"networkx.{name}")
        _export(module, networkx)
        _export(module, getattr(networkx, name.partition(".")[0]))


found = find_spec("networkx")
if found is not None and "networkx" not in sys.modules:
    _defer(found.submodule_search_locations or [])
