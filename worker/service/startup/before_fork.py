# SPDX-License-Identifier: Apache-2.0
"""Preparations in the parent process whose results its children share.

Each child would do the same work again, and hold a copy of the result. Nothing here opens a
connection or a file that stays open, or starts a thread.
"""

from __future__ import annotations

from oslo_config import cfg

from drivers.cinder import loading
from worker import database_url, entry_points
from worker.compat import pymysql
from worker.conf.option_groups import image


def prepare(conf: cfg.ConfigOpts) -> None:
    """Prepare the modules and values with which each process of a service begins."""
    entry_points.of_group(image.SERVICES)
    for address in (conf.database.connection, conf.journal.connection):
        if database_url.parse(address).get_driver_name() == pymysql.DRIVER:
            pymysql.make_tls_context()


def complete() -> None:
    """Prepare parts that a process uses only later: the first one starts without it, meanwhile."""
    loading.before_fork()
