# SPDX-License-Identifier: Apache-2.0
"""Leave out of networkx what nobody asks for, until somebody does: import this before taskflow.

taskflow needs a graph and its topological order. networkx comes with hundreds of modules of
algorithms, which are loaded with it: 10 MiB in each process, a seventh of what a service takes.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import threading
from collections.abc import Iterator
from types import ModuleType
from typing import Any

_PARTS = ("generators", "readwrite", "algorithms", "linalg")
"""Packages of networkx, in the order in which it loads them."""

_ENOUGH = ["algorithms.dag", "algorithms.operators", "generators.classic"]
"""Modules that have what taskflow asks for."""

_loading = threading.RLock()


class _Part(ModuleType):
    """A part that is loaded when something of it is asked for."""

    def __init__(self, name: str, path: str) -> None:
        super().__init__(name)
        self.__path__ = [path]
        self.__all__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if not _keep(name, self):
            return getattr(_whole(self.__name__.rpartition(".")[2]), name)
        return self.__dict__[name]


def _keep(name: str, place: ModuleType) -> bool:
    """Look a name up in the modules that are loaded in any case; say whether it is there."""
    for module in _few():
        if hasattr(module, name):
            setattr(place, name, getattr(module, name))
            return True
    return False


def _few() -> Iterator[ModuleType]:
    return (importlib.import_module(f"networkx.{module}") for module in _ENOUGH)


def _whole(part: str) -> ModuleType:
    """Load all of networkx as it does by itself, and return a part of it."""
    networkx = sys.modules["networkx"]
    with _loading:
        for each in _PARTS:
            name = f"networkx.{each}"
            if isinstance(sys.modules[name], _Part):
                del sys.modules[name]
                real = importlib.import_module(name)
                setattr(networkx, each, real)
                _adopt(real)
                for public in getattr(real, "__all__", None) or _public(real):
                    networkx.__dict__.setdefault(public, getattr(real, public))
    return sys.modules[f"networkx.{part}"]


def _adopt(package: ModuleType) -> None:
    """Give a package the modules of it that were loaded before."""
    for name, module in list(sys.modules.items()):
        parent, _, child = name.rpartition(".")
        if parent == package.__name__:
            setattr(package, child, module)


def _public(module: ModuleType) -> list[str]:
    return [name for name in vars(module) if not name.startswith("_")]


def _import() -> None:
    """Import networkx without its parts; whoever asks it for something of them gets it."""
    found = importlib.util.find_spec("networkx")
    if found is None or "networkx" in sys.modules:
        return
    (path,) = found.submodule_search_locations or ("",)
    for part in _PARTS:
        sys.modules[f"networkx.{part}"] = _Part(f"networkx.{part}", f"{path}/{part}")
    try:
        networkx = importlib.import_module("networkx")
        list(_few())
    except (ImportError, AttributeError):
        _forget()  # it is another networkx than those that are known: all of it, then
        return
    unknown = networkx.__dict__.get("__getattr__")

    def asked(name: str) -> Any:
        if not name.startswith("__") and _is_lean():
            if not _keep(name, networkx):
                _whole(_PARTS[0])
            if name in networkx.__dict__:
                return networkx.__dict__[name]
        if unknown is not None:
            return unknown(name)
        raise AttributeError(f"module 'networkx' has no attribute {name!r}")

    networkx.__dict__["__getattr__"] = asked


def _is_lean() -> bool:
    return any(isinstance(sys.modules.get(f"networkx.{part}"), _Part) for part in _PARTS)


def _forget() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "networkx"]:
        del sys.modules[name]


_import()
