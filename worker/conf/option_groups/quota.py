# SPDX-License-Identifier: Apache-2.0
"""Default limits of projects, where the database sets none; section [DEFAULT]."""

from __future__ import annotations

from oslo_config import cfg

OPTS = [
    cfg.IntOpt(
        "quota_volumes",
        default=10,
        min=-1,
        help="Volumes that a project may have. -1 means no limit.",
    ),
    cfg.IntOpt(
        "quota_snapshots",
        default=10,
        min=-1,
        help="Volume snapshots that a project may have. -1 means no limit.",
    ),
    cfg.IntOpt(
        "quota_gigabytes",
        default=1000,
        min=-1,
        help="GiB of volumes and, unless no_snapshot_gb_quota is set, of snapshots that a "
        "project may have. -1 means no limit.",
    ),
    cfg.IntOpt(
        "quota_groups",
        default=10,
        min=-1,
        help="Volume groups that a project may have. -1 means no limit.",
    ),
    cfg.IntOpt(
        "per_volume_size_limit",
        default=-1,
        min=-1,
        help="Largest volume that a project may have, in GiB. -1 means no limit.",
    ),
    cfg.BoolOpt(
        "no_snapshot_gb_quota",
        default=False,
        help="Do not count snapshots against the quota of GiB.",
    ),
    cfg.IntOpt(
        "reservation_expire",
        default=86400,
        min=1,
        help="Seconds after which an open reservation of quota expires.",
    ),
]


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Make the options of quota known."""
    conf.register_opts(OPTS)
