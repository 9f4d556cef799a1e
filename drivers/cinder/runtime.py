# SPDX-License-Identifier: Apache-2.0
"""Provide the process-wide state that Cinder's drivers expect of cinder-volume.

Each process has its own: it begins when the first of its drivers is set up, after it
was forked.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import shlex
import threading
from dataclasses import dataclass
from typing import Any

import os_brick
import sqlalchemy as sa
import urllib3
from cinder import coordination, rpc, utils
from cinder.db import api as db
from cinder.db import models
from oslo_concurrency import lockutils
from oslo_config import cfg
from oslo_privsep import priv_context
from oslo_utils import netutils

from drivers.cinder import eventlet_stub, manager_options

LOG = logging.getLogger(__name__)

BUSY_TIMEOUT = 30
"""Seconds that a transaction waits for another one to end, in a file."""

_GUARD = threading.Lock()
_BEGUN: set[int] = set()


@dataclass(frozen=True)
class Facts:
    """Describe its service to a driver that is being constructed.

    :param cluster: name of the backend's cluster, None for none.
    :param is_new: whether the database has never had a volume.
    """

    cluster: str | None
    is_new: bool


def begin() -> None:
    """Prepare this process; a second time does nothing."""
    with _GUARD:
        if os.getpid() in _BEGUN:
            return
        conf = cfg.CONF
        conf.register_opts(manager_options.OF_SERVICE)
        _complete(conf)
        priv_context.init(root_helper=shlex.split(utils.get_root_helper()))
        os_brick.setup(conf)
        with contextlib.suppress(TypeError):  # a first try has configured it, and failed later
            db.configure(conf)
        _wait_for_each_other(db.get_engine())
        if not rpc.initialized():
            rpc.init(conf)
        coordination.COORDINATOR.start()
        atexit.register(coordination.COORDINATOR.stop)
        _BEGUN.add(os.getpid())


def tune(options: Any) -> None:
    """Apply the options of a backend that concern its whole process.

    :param options: Cinder's configuration object of the backend.
    """
    eventlet_stub.NATIVE.resize(options.backend_native_threads_pool_size)
    if options.suppress_requests_ssl_warnings:
        LOG.warning("suppress_requests_ssl_warnings: unverified certificates are not logged")
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)


def facts(host: str) -> Facts:
    """Read the row of a service from Cinder's database.

    :param host: ``host@backend``.
    """
    cluster = str(getattr(cfg.CONF, "cluster", None) or "").strip()
    volumes = models.Volume.__table__
    # Cinder's own query joins seven tables, which each process would compile for this alone.
    query = sa.select(volumes.c.id).where(volumes.c.deleted.is_(sa.false())).limit(1)
    with db.get_engine().connect() as connection:
        any_volume = connection.execute(query).first()
    return Facts(
        cluster=f"{cluster}@{host.partition('@')[2]}" if cluster else None,
        is_new=any_volume is None,
    )


def _wait_for_each_other(engine: sa.Engine) -> None:
    """Have writers to a SQLite file take turns.

    A transaction that reads first and finds, when it writes, that another one has
    written meanwhile, fails at once. Cinder is not made for a file, and does not try again.
    """
    if engine.dialect.name != "sqlite":
        return

    @sa.event.listens_for(engine, "connect")
    def set_busy_timeout(connection: Any, _record: Any) -> None:
        connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT * 1000}")

    @sa.event.listens_for(engine, "before_cursor_execute", retval=True)
    def at_once(
        _connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any
    ) -> tuple[str, Any]:
        return ("BEGIN IMMEDIATE" if statement == "BEGIN" else statement), parameters


def _complete(conf: cfg.ConfigOpts) -> None:
    """Set options that Cinder needs and that we do not read."""
    if not conf.my_ip:
        conf.set_default("my_ip", netutils.get_my_ipv4())
    if not lockutils.get_lock_path(conf):
        lockutils.set_defaults(conf.state_path)
