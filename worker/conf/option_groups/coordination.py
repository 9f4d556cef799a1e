# SPDX-License-Identifier: Apache-2.0
"""Locks between processes and hosts; section [coordination]."""

from __future__ import annotations

from oslo_config import cfg

GROUP = cfg.OptGroup("coordination", title="Locks between processes and hosts")

OPTS = [
    cfg.StrOpt(
        "backend_url",
        default="file://$state_path",
        secret=True,
        help="Where the locks are kept, as a URL of tooz. Files serve one host; the hosts of "
        "a cluster need etcd3+https://…?ca_cert=FILE or redis://…?ssl=true&ssl_ca_certs=FILE, or "
        "etcd3+http://… or redis://… in a network that is trusted. The Python package redis "
        "checks the name of the host since its version 6. A Cinder service that works on the same "
        "volumes must have the same value.",
    ),
]


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Make the options of the locks known."""
    conf.register_group(GROUP)
    conf.register_opts(OPTS, group=GROUP)
