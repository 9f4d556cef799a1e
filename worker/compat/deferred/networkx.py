# SPDX-License-Identifier: Apache-2.0
"""Defer the parts of networkx that taskflow does not use: import this before taskflow.

``import networkx`` loads 240 modules of algorithms, generators and file formats, 10 MiB in
each process, a seventh of the whole. Here their packages exist from the start, and their
``__init__`` run when a name is missing: another user of networkx finds all of it.
"""

from __future__ import annotations

import importlib
import sys
from importlib.machinery import PathFinder
from importlib.util import find_spec
from types import ModuleType

from worker.compat.deferred.deferral import DeferredModules

_PACKAGES = ("generators", "readwrite", "algorithms", "linalg")
"""In the order in which networkx imports them."""

_USED = ("generators.classic", "algorithms.dag", "algorithms.operators")
"""Modules with the functions that taskflow calls, itself or through networkx.Graph."""


def _export(module: ModuleType, package: ModuleType) -> None:
    """Copy public names into a package, as ``from module import *`` in it does."""
    names = getattr(module, "__all__", [name for name in vars(module) if name[0] != "_"])
    vars(package).update((name, getattr(module, name)) for name in names)


def _defer(path: list[str]) -> None:
    deferred = DeferredModules(lambda package: _export(package, sys.modules["networkx"]))
    for name in _PACKAGES:
        # Not find_spec(), which imports networkx itself first.
        if spec := PathFinder.find_spec(f"networkx.{name}", path):
            deferred.defer(spec)
    networkx = importlib.import_module("networkx")
    deferred.watch(networkx)
    for name in _USED:
        module = importlib.import_module(f"networkx.{name}")
        _export(module, networkx)
        _export(module, getattr(networkx, name.partition(".")[0]))


found = find_spec("networkx")
if found is not None and "networkx" not in sys.modules:
    _defer(found.submodule_search_locations or [])
