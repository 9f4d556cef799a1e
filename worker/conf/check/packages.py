# SPDX-License-Identifier: Apache-2.0
"""Packages that a configuration needs and this environment lacks, as one command."""

from __future__ import annotations

import importlib.util
import shlex
from collections.abc import Iterator

from oslo_config import cfg

from drivers.backup.ceph import binding
from worker.conf import backends, image_signatures, key_managers
from worker.conf.check.config_files import ConfigFiles
from worker.conf.check.problems import Problem
from worker.conf.option_groups import backup, compute, tracing

_DATABASES = {"mysql+pymysql": "mysql", "mysql": "mysql", "postgresql": "postgresql"}
"""Extras of the schemes of databases, without their driver for PostgreSQL."""

_LOCKS = {
    "etcd3+http": "etcd3gw",
    "etcd3+https": "etcd3gw",
    "redis": "redis",
    "rediss": "redis",
    "memcached": "pymemcache",
    "kazoo": "kazoo",
    "zookeeper": "kazoo",
}
"""Packages of the schemes of lock servers."""

_MODULES = {
    "cinder": "cinder",
    "encryption": key_managers.LIBRARY,
    "glance": "keystoneauth1",
    "nova": "keystoneauth1",
    "otel": "opentelemetry.exporter.otlp.proto.http",
    "otel-grpc": "opentelemetry.exporter.otlp.proto.grpc",
    "s3": "boto3",
    "signatures": image_signatures.LIBRARY,
    "swift": "swiftclient",
    "mysql": "pymysql",
    "postgresql": "psycopg2",
    "redis": "redis",
    "etcd3gw": "etcd3gw",
    "pymemcache": "pymemcache",
    "kazoo": "kazoo",
}
"""A module of each extra and of each package."""


_STORES = ("s3", "swift")
"""Stores of backups whose library is an extra of the same name."""

_RBD = "cinder.volume.drivers.rbd."


def command(conf: cfg.ConfigOpts, found: ConfigFiles) -> str:
    """Return the command that installs all that is missing; empty where nothing is."""
    extras = [one for one in dict.fromkeys(_extras(conf, found)) if _is_missing(one)]
    packages = [one for one in _packages(conf) if _is_missing(one)]
    if not extras and not packages:
        return ""
    wanted = [f"holdfast[{','.join(extras)}]"] if extras else []
    return f"pip install {' '.join(map(shlex.quote, [*wanted, *packages]))}"


def missing(conf: cfg.ConfigOpts, found: ConfigFiles) -> list[Problem]:
    """Return the drivers that start and do not come up, as a package of theirs is missing."""
    problems = []
    if text := _of_store(backup.ours(conf.backup_driver)):
        problems.append(found.problem("DEFAULT", backup.DRIVER, text, fatal=False))
    for name in conf.enabled_backends:
        if backends.driver_name(conf, name).startswith(_RBD) and (text := binding.missing()):
            problems.append(backends.driver_problem(conf, found, name, text))
    return problems


def _of_store(store: str) -> str:
    if store == "ceph":
        return binding.missing()
    if store in _STORES and _is_missing(store):
        return f"{_MODULES[store]} is not installed: pip install 'holdfast[{store}]'"
    return ""


def _extras(conf: cfg.ConfigOpts, found: ConfigFiles) -> Iterator[str]:
    """Yield the extras of this project that are needed, some of them twice."""
    names = [backends.driver_name(conf, name) for name in conf.enabled_backends]
    if any(name.startswith("cinder.") for name in names) or backup.is_adapted(conf.backup_driver):
        yield "cinder"
    if conf.image_service == "glance":
        yield "glance"
    if image_signatures.are_verified(conf):
        yield "signatures"
    if key_managers.is_configured(found) and key_managers.kind(conf) != key_managers.FIXED_KIND:
        yield "encryption"
    if compute.accounts(found):
        yield "nova"
    if conf.tracing.enabled:
        yield "otel-grpc" if conf.tracing.protocol == tracing.GRPC else "otel"
    store = backup.ours(conf.backup_driver)
    if store in _STORES:
        yield store
    for section in ("database", "journal"):
        scheme = str(conf[section].connection or "").partition("://")[0]
        if extra := _DATABASES.get(scheme.removesuffix("+psycopg2")):
            yield extra


def _packages(conf: cfg.ConfigOpts) -> Iterator[str]:
    scheme = str(conf.coordination.backend_url or "").partition("://")[0]
    if package := _LOCKS.get(scheme):
        yield package


def _is_missing(name: str) -> bool:
    try:
        return importlib.util.find_spec(_MODULES[name]) is None
    except ModuleNotFoundError:  # not even the package around the module is there
        return True
