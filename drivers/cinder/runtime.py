# SPDX-License-Identifier: Apache-2.0
"""What Cinder's drivers find in the process of cinder-volume, and so in ours.

Each process has its own: it begins when the first of its drivers is set up, after it
was forked.
"""

from __future__ import annotations

import atexit
import os
import shlex
import threading
from dataclasses import dataclass

import os_brick
from cinder import context, coordination, exception, objects, rpc, utils
from cinder.db import api as db
from oslo_concurrency import lockutils
from oslo_config import cfg
from oslo_privsep import priv_context
from oslo_utils import netutils

_GUARD = threading.Lock()
_BEGUN: set[int] = set()


@dataclass(frozen=True)
class Facts:
    """What a driver is told of its service when it is made.

    :param cluster: name of the backend's cluster, None for none.
    :param active_backend: the replica to which it has failed over, None for none.
    :param is_new: whether the database has never had a volume.
    """

    cluster: str | None
    active_backend: str | None
    is_new: bool


def begin() -> None:
    """Prepare this process; a second time does nothing."""
    with _GUARD:
        if os.getpid() in _BEGUN:
            return
        conf = cfg.CONF
        _complete(conf)
        priv_context.init(root_helper=shlex.split(utils.get_root_helper()))
        os_brick.setup(conf)
        db.configure(conf)
        if not rpc.initialized():
            rpc.init(conf)
        coordination.COORDINATOR.start()
        atexit.register(coordination.COORDINATOR.stop)
        _BEGUN.add(os.getpid())


def facts(host: str) -> Facts:
    """Read what Cinder's database has of a service.

    :param host: ``host@backend``.
    """
    admin = context.get_admin_context()
    cluster = str(getattr(cfg.CONF, "cluster", None) or "").strip()
    try:
        service = objects.Service.get_by_args(admin, host, "cinder-volume")
        active = service.active_backend_id
    except exception.ServiceNotFound:
        active = None
    any_volume = db.volume_get_all(admin, None, 1)
    return Facts(
        cluster=f"{cluster}@{host.partition('@')[2]}" if cluster else None,
        active_backend=active,
        is_new=not any_volume,
    )


def _complete(conf: cfg.ConfigOpts) -> None:
    """Set what Cinder needs and we can do without."""
    if not conf.my_ip:
        conf.set_default("my_ip", netutils.get_my_ipv4())
    if not lockutils.get_lock_path(conf):
        lockutils.set_defaults(conf.state_path)
