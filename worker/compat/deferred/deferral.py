# SPDX-License-Identifier: Apache-2.0
"""Modules that exist from the start and run when one of their names is missing."""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Callable, Mapping
from importlib.abc import Loader, MetaPathFinder
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
        sys.meta_path.insert(0, _Submodules(name, deferred.load))


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
                try:
                    module.__spec__.loader.exec_module(module)  # type: ignore[union-attr]
                except BaseException:
                    self._waiting.insert(0, module)  # the next use tries again
                    raise
                self._loaded(module)


class _Deferred(ModuleType):
    """A module that has not run."""

    _deferred: DeferredModules

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("__"):
            self._deferred.load()
        return super().__getattribute__(name)

    def __setattr__(self, name: str, value: Any) -> None:
        """Keep a name that the package has given to something else than to its submodule."""
        is_submodule = getattr(value, "__name__", None) == f"{self.__name__}.{name}"
        if not is_submodule or isinstance(vars(self).get(name, value), ModuleType):
            super().__setattr__(name, value)


class _Submodules(MetaPathFinder):
    """Finds the submodules of a deferred package, which runs before they are looked for."""

    def __init__(self, package: str, load: Callable[[], None]) -> None:
        self._beginning = f"{package}."
        self._load = load

    def find_spec(
        self, name: str, path: object = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return how to have a module that the package has imported; None for other modules."""
        if not name.startswith(self._beginning):
            return None
        self._load()
        found = sys.modules.get(name)
        if found is None:
            return None
        spec = ModuleSpec(name, _Imported(found))
        found.__spec__ = spec  # importlib prefers the one of a module that has come meanwhile
        return spec


class _Imported(Loader):
    """Loads a module that is there."""

    def __init__(self, module: ModuleType) -> None:
        self._module, self._spec = module, module.__spec__

    def create_module(self, _spec: ModuleSpec) -> ModuleType:
        """Return the module."""
        return self._module

    def exec_module(self, module: ModuleType) -> None:
        """Leave the module as it was."""
        module.__spec__ = self._spec
