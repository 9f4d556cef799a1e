# SPDX-License-Identifier: Apache-2.0
"""Preparations in the parent process whose results its children share.

Each child would do the same work again, and hold a copy of the result. Nothing here opens a
connection or a file that stays open, or starts a thread.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc

from oslo_config import cfg

from drivers.cinder import loading
from worker import database_url, entry_points
from worker.compat import pymysql
from worker.conf.option_groups import image

_M_ARENA_MAX = -8
"""The C library's name for its number of arenas (malloc.h)."""

ARENAS = 2
"""Arenas of a process without children, as few as its memory is least with."""

ARENAS_OF_CHILDREN = 3
"""Arenas of each of several processes: with two, the thread that starts a process takes its
memory from free places between the parent's, and each place costs a copy of its page."""


def prepare(conf: cfg.ConfigOpts) -> None:
    """Prepare the modules and values that every process of a service uses."""
    loading.before_fork()
    entry_points.of_group(image.SERVICES)
    for address in (conf.database.connection, conf.journal.connection):
        if database_url.parse(address).get_driver_name() == pymysql.DRIVER:
            pymysql.make_tls_context()


def share_memory(arenas: int) -> None:
    """Keep pages shared between the processes, and limit the arenas of the allocator."""
    with contextlib.suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, arenas)
    release_memory()
    # A collection in a child process would write to every object from before the fork.
    gc.freeze()


def release_memory() -> None:
    """Return memory that imports and the start have freed to the system."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
