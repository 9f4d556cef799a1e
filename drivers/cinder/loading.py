# SPDX-License-Identifier: Apache-2.0
"""Load a driver of an installed Cinder, in a process that is prepared for it.

This imports nothing of Cinder until it is asked for a driver.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from oslo_config import cfg

if TYPE_CHECKING:
    from drivers.interface.volume import VolumeDriver

PACKAGE = "cinder"

_NATIVE = "OS_CINDER_DISABLE_EVENTLET_PATCHING"

_ADVICE = "pip install 'holdfast[cinder]', in the environment of this program"


class Unsuitable(ValueError):
    """The class is no driver of Cinder, or there is no Cinder; the text says so."""


def is_cinders(found: object) -> bool:
    """Return whether a class is a volume driver of Cinder's kind, ours excluded.

    Who has such a class has Cinder's modules loaded; nothing is imported for it.
    """
    base = sys.modules.get("cinder.volume.driver")
    if base is None or not isinstance(found, type):
        return False
    return issubclass(found, (base.BaseVD, base.ProxyVD))


def load(path: str) -> type[VolumeDriver]:
    """Return a driver of ours that passes its calls on to one of Cinder's.

    :param path: of Cinder's class, as ``cinder.volume.drivers.nfs.NfsDriver``.
    :raises Unsuitable: Cinder is not installed, or the class is something else.
    :raises BaseException: of the import, which runs the module of the driver.
    """
    prepare()
    with native_threads():
        found = _imported(path)
    if not is_cinders(found):
        raise Unsuitable(f"{path} is no volume driver (cinder.volume.driver.BaseVD)")
    return adapted(found)


def adapted(found: object) -> type[VolumeDriver]:
    """Return a driver of ours around a class of Cinder's that is loaded."""
    # Late: only a driver of Cinder's needs it, and Cinder then is installed.
    from drivers.cinder import features

    return features.adapted(found)


def installed() -> bool:
    """Return whether there is a Cinder to load drivers of."""
    return PACKAGE in sys.modules or importlib.util.find_spec(PACKAGE) is not None


def prepare() -> None:
    """Import modules that all of Cinder's drivers need. :raises Unsuitable: no Cinder."""
    if "cinder.volume.driver" in sys.modules:
        return
    # Late: only a driver of Cinder's needs it, and Cinder then is installed.
    from drivers.cinder import eventlet_stub, manager_options, merged_options

    if not installed():
        raise Unsuitable(f"Cinder is not installed: {_ADVICE}")
    if sys.modules.get("eventlet") is None:
        # Those that look for the real one have done so before, and did not find it.
        importlib.import_module("futurist")
        eventlet_stub.install()
    conf = cfg.CONF
    merged_options.be_lenient(conf)
    with merged_options.kept_defaults(conf):
        objects = importlib.import_module("cinder.objects")
        objects.register_all()
        for name in ("cinder.keymgr", "cinder.coordination", "cinder.rpc", "cinder.volume.driver"):
            importlib.import_module(name)
    # Some drivers look there for their options, before any of their configuration is made.
    conf.register_opts(manager_options.OF_BACKENDS, group=merged_options.SECTION)


@contextlib.contextmanager
def native_threads() -> Iterator[None]:
    """Have modules of Cinder that would patch the process for eventlet leave it as it is.

    Not for longer: this process's children may be services of Cinder.
    """
    before = os.environ.get(_NATIVE)
    os.environ[_NATIVE] = "true"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_NATIVE]
        else:
            os.environ[_NATIVE] = before


def before_fork() -> None:
    """Complete the modules of Cinder, if they are loaded, for all processes that are forked.

    SQLAlchemy connects Cinder's classes of rows with each other at the first query: 0.2 s and
    7 MiB in each process. No connection is opened, and no thread started.
    """
    if "cinder.volume.driver" not in sys.modules:
        return
    importlib.import_module("cinder.db.models")
    importlib.import_module("sqlalchemy.orm").configure_mappers()


def _imported(path: str) -> object:
    module, _, name = path.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except (ModuleNotFoundError, AttributeError):
        if not path.startswith(f"{PACKAGE}."):
            raise
        # Cinder's service knows where drivers have moved to, and takes long to import.
        moved = importlib.import_module("cinder.volume.manager").MAPPING
        if path not in moved:
            raise
        return _imported(moved[path])
