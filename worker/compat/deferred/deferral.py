# SPDX-License-Identifier: Apache-2.0
"""Modules that exist from the start and run when one of their names is missing."""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Any


def defer(name: str, ready: Mapping[str, str] | None = None) -> None:
    """Have a module run when one of its names is first needed.

    If it is a package, it runs before one of its submodules is imported, too.

    :param ready: submodules that can be imported without it, by the names that it has of them.
    """
    if name in sys.modules or (spec := find_spec(name)) is None:
        return
    deferred = DeferredModules()
    module = deferred.defer(spec)
    package, _, last = name.rpartition(".")
    if package:
        setattr(importlib.import_module(package), last, module)
    for known, submodule in (ready or {}).items():
        vars(module)[known] = getattr(importlib.import_module(f"{name}.{submodule}"), known)
    if spec.submodule_search_locations is not None:
        module.__path__ = _Path(module.__path__, deferred.load)


class DeferredModules:
    """Modules that run in the order given, all at once, when a name of one is missing.

    Python's own LazyLoader runs a module for each attribute, also for those that ``import``
    reads, and in Python 3.11 two threads may run it at once.

    :param loaded: called after each that has run.
    """

    def __init__(self, loaded: Callable[[ModuleType], None] = lambda _module: None) -> None:
        self._loaded = loaded
        self._waiting: list[ModuleType] = []
        self._loading = threading.RLock()

    def defer(self, spec: ModuleSpec) -> ModuleType:
        """Make a module without running it."""
        module = sys.modules[spec.name] = module_from_spec(spec)
        self.watch(module)
        self._waiting.append(module)
        return module

    def watch(self, module: ModuleType) -> None:
        """Run those that wait when a name of this module is missing, too."""
        vars(module)["_deferred"] = self
        module.__class__ = _Deferred

    def load(self) -> None:
        """Run those that wait."""
        with self._loading:
            while self._waiting:
                module = self._waiting.pop(0)  # first: its own code may ask for missing names
                module.__spec__.loader.exec_module(module)  # type: ignore[union-attr]
                self._loaded(module)


class _Deferred(ModuleType):
    """A module that has not run."""

    _deferred: DeferredModules

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("__"):
            self._deferred.load()
        return super().__getattribute__(name)


class _Path(list[str]):
    """The directories of a package that runs before one of its submodules is looked for."""

    def __init__(self, directories: Iterable[str], load: Callable[[], None]) -> None:
        super().__init__(directories)
        self._load = load

    def __iter__(self) -> Iterator[str]:
        self._load()
        return super().__iter__()
