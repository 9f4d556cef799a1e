# SPDX-License-Identifier: Apache-2.0
"""Find a driver by its entry point, its class path, or its file."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from drivers.interface.backup import BackupDriver
from drivers.interface.export import ExportDriver
from drivers.interface.image import ImageService
from drivers.interface.volume import VolumeDriver

from . import cinders

KINDS: dict[str, tuple[str | None, type]] = {
    "volume": ("holdfast.volume_drivers", VolumeDriver),
    "backup": ("holdfast.backup_drivers", BackupDriver),
    "image": ("holdfast.image_services", ImageService),
    "export": (None, ExportDriver),
}
"""The entry-point group and the interface of each kind of driver."""


class NoDriver(LookupError):
    """The path leads to no driver."""


@functools.cache
def load(name: str, kind: str | None = None) -> Any:
    """Return a driver class by its entry point's name, its path, or ``FILE.py:CLASS``.

    The metadata of all packages are searched once, not for each test.

    :param kind: key of :data:`KINDS`; an entry point of that kind only.
    :raises NoDriver: the text gives the reason.
    """
    if name.startswith("cinder."):
        return cinders.load(name)
    try:
        found = _named(name, kind)
    except NoDriver as error:
        if getattr(error.__cause__, "name", None) != "eventlet":
            raise
        with cinders.prepared():  # a third-party driver for Cinder imports Cinder
            found = _named(name, kind)
    return cinders.adapted(found)


def _named(name: str, kind: str | None) -> Any:
    for found, (group, _) in KINDS.items():
        if group is not None and kind in (None, found):
            for point in metadata.entry_points(group=group, name=name):
                return point.load()
    return attribute(name)


def attribute(path: str) -> Any:
    """Return ``package.module.Name``, ``package.module:Name`` or ``file.py:Name``.

    :raises NoDriver: there is no such module or name.
    """
    module, _, name = path.rpartition(":") if ":" in path else path.rpartition(".")
    if not module:
        raise NoDriver(f"{path!r} is neither a known driver nor MODULE.CLASS nor FILE.py:CLASS")
    try:
        found = _file(module) if module.endswith(".py") else importlib.import_module(module)
    except (Exception, SystemExit) as error:  # of another author's code
        raise NoDriver(f"{module} cannot be imported: {type(error).__name__}: {error}") from error
    try:
        return getattr(found, name)
    except AttributeError:
        raise NoDriver(f"{module} ({found.__file__}) has no {name}") from None


_FROM_FILES: set[str] = set()
"""Names of the modules that were loaded from a file."""


@functools.cache
def _file(path: str) -> Any:
    file = Path(path).resolve()
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None or not file.is_file():
        raise FileNotFoundError(f"{file} is no file with Python code")
    is_known = file.stem in sys.modules and file.stem not in _FROM_FILES
    if is_known or file.stem in sys.stdlib_module_names:
        raise ImportError(f"there is another module {file.stem}: give {file.name} another name")
    module = importlib.util.module_from_spec(spec)
    sys.modules[file.stem] = module
    _FROM_FILES.add(file.stem)
    spec.loader.exec_module(module)
    return module


def kind_of(found: Any, wanted: str | None = None) -> str:
    """Return the kind of a driver class.

    :raises NoDriver: it implements none of the interfaces, or not the wanted one.
    """
    for kind, (_, interface) in KINDS.items():
        if isinstance(found, type) and issubclass(found, interface):
            if wanted not in (None, kind):
                raise NoDriver(f"{found.__name__} is a {kind} driver, not a driver of {wanted}s")
            return kind
    if wanted == "export" and callable(found):
        return wanted  # a function that constructs it, as its volume driver does
    names = ", ".join(interface.__name__ for _, interface in KINDS.values())
    raise NoDriver(f"{found!r} implements none of {names}")
