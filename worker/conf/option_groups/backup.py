# SPDX-License-Identifier: Apache-2.0
"""The backup service and its store; section [DEFAULT], as Cinder has it."""

from __future__ import annotations

from typing import Any

from oslo_config import cfg

from drivers.backup import options
from drivers.cinder.backup_drivers import backup_loading
from drivers.cinder.loading import PACKAGE, Unsuitable
from drivers.interface.backup import BackupDriver
from worker.conf import plugins
from worker.conf.check import config_files
from worker.conf.check.problems import ConfigError, Problem
from worker.conf.cinder import refused

DRIVERS = "holdfast.backup_drivers"
"""Entry points of stores."""

_FORMER = {
    "cinder.backup.drivers.google.GoogleBackupDriver": (
        "cinder.backup.drivers.gcs.GoogleBackupDriver"
    ),
}
"""Former class paths of Cinder's drivers, which rows and files still name."""

CINDER = {
    "cinder.backup.drivers.ceph.CephBackupDriver": "ceph",
    "cinder.backup.drivers.nfs.NFSBackupDriver": "nfs",
    "cinder.backup.drivers.posix.PosixBackupDriver": "posix",
    "cinder.backup.drivers.s3.S3BackupDriver": "s3",
    "cinder.backup.drivers.swift.SwiftBackupDriver": "swift",
}
"""Class paths of Cinder, each with the name of ours that reads and writes the same."""

_MODULES = {path.rpartition(".")[0]: path for path in CINDER}
"""The modules of these classes, which some files name in the place of the class."""

DRIVER = cfg.StrOpt(
    "backup_driver",
    default="posix",
    help="Where backups are kept: 'posix' in a directory, 'nfs' in a mounted share, 's3' in a "
    "bucket (pip install 'holdfast[s3]'), 'swift' in OpenStack's object store (pip install "
    "'holdfast[swift]'), 'ceph' in a pool of a Ceph cluster (packages python3-rados and "
    "python3-rbd), or the full path of a class. Cinder's own paths of these drivers mean "
    "ours.",
)

OPTS = [
    DRIVER,
    cfg.IntOpt(
        "backup_workers",
        default=1,
        min=1,
        max=64,
        help="Processes of the backup service.",
    ),
    cfg.IntOpt(
        "backup_max_operations",
        default=15,
        min=0,
        help="Backups and restores that move data at once on this host; the others wait. "
        "0 means no limit.",
    ),
    cfg.IntOpt(
        "backup_metadata_version",
        default=2,
        min=1,
        max=2,
        help="Version of the volumes' metadata in new backups.",
    ),
    cfg.IntOpt(
        "backup_driver_init_check_interval",
        default=60,
        min=5,
        help="Seconds between two attempts to use a store that cannot be used.",
    ),
    cfg.IntOpt(
        "backup_driver_stats_polling_interval",
        deprecated_name="backup_driver_status_check_interval",
        default=60,
        min=10,
        help="Seconds between two reports to the scheduler.",
    ),
    cfg.IntOpt(
        "backup_timer_interval",
        default=120,
        min=1,
        help="Seconds between two notifications of a backup's progress.",
    ),
    cfg.BoolOpt(
        "backup_enable_progress_timer",
        default=True,
        help="Whether listeners are notified of a backup's progress.",
    ),
    cfg.StrOpt(
        "backup_root_helper",
        default="sudo",
        help="Command by which os-brick gains root's rights, for volumes that are no local files.",
    ),
    cfg.BoolOpt(
        "use_multipath_for_image_xfer",
        default=False,
        help="Whether volumes are attached to this host over several paths.",
    ),
    cfg.StrOpt(
        "my_ip",
        help="Address of this host, for drivers that give access by it; found out by itself.",
    ),
]


class Settings:
    """Options as attributes, as a driver gets them."""

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        self._conf = conf

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._conf, name)

    @property
    def conf(self) -> cfg.ConfigOpts:
        """All options, for drivers that need an account of the service."""
        return self._conf

    def safe_get(self, name: str) -> Any:
        """Return the value, None where there is no such option."""
        try:
            return getattr(self._conf, name)
        except (AttributeError, cfg.NoSuchOptError):
            return None


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Make the options known, with those of our own stores."""
    for known in (OPTS, *options.ALL):
        conf.register_opts(known)


def ours(wanted: str) -> str:
    """Return the name of our store for a value of ``backup_driver``; itself where there is none."""
    path = _class_path(wanted)
    return CINDER.get(path, path)


def is_adapted(wanted: str) -> bool:
    """Return whether a value of ``backup_driver`` is a driver of Cinder without one of ours."""
    return ours(wanted).startswith(f"{PACKAGE}.")


def _class_path(wanted: str) -> str:
    return _MODULES.get(wanted) or _FORMER.get(wanted, wanted)


def limits(conf: cfg.ConfigOpts) -> list[Problem]:
    """Return the promises that the configured driver cannot keep, as a problem that is not fatal.

    :raises ConfigError: there is no such driver.
    """
    found, _services = driver_class(conf)
    text = found.limits(Settings(conf))
    if not text:
        return []
    return [config_files.of(conf).problem("DEFAULT", DRIVER, text, fatal=False)]


def driver_class(conf: cfg.ConfigOpts) -> tuple[type[BackupDriver], tuple[str, ...]]:
    """Return the class that ``backup_driver`` names, its options registered.

    :returns: the class, and the names in ``backups.service`` that mean it: the first one
        is written.
    :raises ConfigError: there is no such class, or it is not a backup driver.
    """
    wanted = _class_path(conf.backup_driver)
    if (refusal := refused.store(wanted)) is not None:
        raise ConfigError(config_files.of(conf).problem("DEFAULT", DRIVER, str(refusal)))
    try:
        found = _load(CINDER.get(wanted, wanted))
    except plugins.LoadError as error:
        raise ConfigError(config_files.of(conf).problem("DEFAULT", DRIVER, str(error))) from error
    if not (isinstance(found, type) and issubclass(found, BackupDriver)):
        text = f"{wanted} is not a backup driver (drivers.interface.backup.BackupDriver)"
        raise ConfigError(config_files.of(conf).problem("DEFAULT", DRIVER, text))
    conf.register_opts(found.OPTS)
    wrapped = getattr(found, "cinders", found)
    own = f"{wrapped.__module__}.{wrapped.__qualname__}"
    cinders = [path for path in CINDER if CINDER[path] == wanted or path == wanted]
    said = [wanted] if "." in wanted else []
    former = [path for path, new in _FORMER.items() if new == wanted]
    return found, tuple(dict.fromkeys((*cinders, *said, own, *former)))


def _load(wanted: str) -> object:
    """Return the class that an option names, a driver of Cinder's within an adapter."""
    if wanted.startswith(f"{PACKAGE}."):
        return _cinders(wanted)
    try:
        found = plugins.load(wanted, DRIVERS, "backup driver")
    except plugins.LoadError as error:
        if getattr(error.__cause__, "name", None) != "eventlet":
            raise
        return _cinders(wanted)  # a third-party driver for Cinder imports Cinder
    if not backup_loading.is_cinders(found):
        return found
    with plugins.explained(wanted):
        return backup_loading.adapted(found)


def _cinders(wanted: str) -> object:
    try:
        with plugins.explained(wanted):
            return backup_loading.load(wanted)
    except plugins.LoadError as error:
        if isinstance(error.__cause__, Unsuitable):
            raise plugins.LoadError(str(error.__cause__)) from error
        raise
