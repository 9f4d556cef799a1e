# SPDX-License-Identifier: Apache-2.0
"""Whether the volume service can be one of several hosts of a cluster; no connection is made.

The hosts share a journal, in which each finds the operations of a host that has died, and locks,
which such a host must not keep. So neither may be a file of one host.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from oslo_config import cfg

from drivers.compat import oslo_config
from worker import database_url
from worker.conf import backends
from worker.conf.check import places
from worker.conf.check.config_files import ConfigFiles
from worker.conf.check.problems import ConfigError, Problem
from worker.conf.option_groups import backend

_LOCKS_OF_A_HOST = "keeps the locks of one host"
_UNNOTICED = "does not report that a session, and all locks with it, has expired"
_NOT_EXPIRING = "keeps the locks of a host that has died until its connection is found dead"

_UNFIT = {
    "file": _LOCKS_OF_A_HOST,
    "ipc": _LOCKS_OF_A_HOST,
    "mysql": f"{_NOT_EXPIRING}, and each node of Galera grants a lock of its own",
    "postgresql": f"{_NOT_EXPIRING}, and takes many names for the same lock",
    "memcached": "may free a lock that another host has taken meanwhile",
    "kubernetes": "does not renew the leases of its locks",
    "zookeeper": _UNNOTICED,
    "kazoo": _UNNOTICED,
}
"""Why a driver of tooz cannot exclude the hosts of a cluster from each other, by its scheme."""

_REMEDY = "set it to etcd3+http://… or redis://…"

_DRIVER = next(option for option in backend.OPTS if option.dest == "volume_driver")


def faults(
    conf: cfg.ConfigOpts, found: ConfigFiles, served: Collection[str] | None = None
) -> Iterator[Problem]:
    """Yield the errors that forbid a start in a cluster; none without the option ``cluster``.

    :param served: the backends that are served; None means all that are enabled.
    """
    if not conf.cluster:
        return
    options = {(section, one.dest): one for section, one in oslo_config.registered(conf)}
    if text := _journal_fault(conf):
        yield found.problem("journal", options["journal", "connection"], text)
    if text := _locks_fault(conf):
        yield found.problem("coordination", options["coordination", "backend_url"], text)
    for name in conf.enabled_backends if served is None else served:
        if text := places.too_long("cinder-volume", conf.cluster, name):
            yield found.problem("DEFAULT", options["DEFAULT", "cluster"], text)
        yield from _backend_faults(conf, found, name)


def _journal_fault(conf: cfg.ConfigOpts) -> str | None:
    if database_url.parse(conf.journal.connection).get_backend_name() != "sqlite":
        return None
    return (
        f"is a file of this host, but the hosts of cluster {conf.cluster} share their journal:"
        " set it to a database server, as mysql+pymysql://… or postgresql://…, with a database of"
        " its own"
    )


def _locks_fault(conf: cfg.ConfigOpts) -> str | None:
    scheme = conf.coordination.backend_url.partition("://")[0]
    reason = _UNFIT.get(scheme.partition("+")[0])
    return f"{scheme}:// {reason}, so it serves no cluster: {_REMEDY}" if reason else None


def _backend_faults(conf: cfg.ConfigOpts, found: ConfigFiles, name: str) -> Iterator[Problem]:
    try:
        driver, configuration = backends.configure(conf, name)
        reason = driver.reason_against_cluster(configuration)
    except ConfigError:  # reported elsewhere
        return
    if reason is not None:
        text = f"cannot serve cluster {conf.cluster}: {reason}; remove cluster, or the backend"
        made = found.problem(name, _DRIVER, text)
        if made.file is None and (head := found.head(name)) is not None:
            made = Problem(head.file, head.line, name, _DRIVER.name, text)
        yield made
