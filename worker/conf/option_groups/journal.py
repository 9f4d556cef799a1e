# SPDX-License-Identifier: Apache-2.0
"""Accepted casts and their progress; section [journal]."""

from __future__ import annotations

from oslo_config import cfg

GROUP = cfg.OptGroup("journal", title="Accepted casts and their progress")

OPTS = [
    cfg.StrOpt(
        "connection",
        default="sqlite:///$state_path/journal.sqlite",
        secret=True,
        help="Database of the journal, as an SQLAlchemy URL. It is created when it is first "
        "used, and is never the database of Cinder. The hosts of a cluster share one.",
    ),
    cfg.IntOpt(
        "max_resumes",
        default=3,
        min=0,
        mutable=True,
        help="How often a flow that was killed inside a step is resumed before it is reverted. "
        "Stops in order do not count, and progress sets the count back.",
    ),
    cfg.IntOpt(
        "keep_finished",
        default=24,
        min=0,
        mutable=True,
        help="Hours that a finished cast is remembered, so that a second delivery of the same "
        "message is recognised and holdfast flow list can show it.",
    ),
    cfg.IntOpt(
        "keep_failed",
        default=7,
        min=0,
        mutable=True,
        help="Days that a failed or rejected cast is remembered.",
    ),
    cfg.IntOpt(
        "keep_failed_mib",
        default=256,
        min=1,
        mutable=True,
        help="MiB of failed casts, with their arguments, that are remembered; the oldest are "
        "removed first. Without this limit, failing casts of 4 MiB could fill the disk.",
    ),
    cfg.IntOpt(
        "keep_rejected",
        default=1000,
        min=0,
        mutable=True,
        help="How many rejected messages are stored, the newest; any client of the bus "
        "could fill the disk without this limit.",
    ),
]


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Make the options of the journal known."""
    conf.register_group(GROUP)
    conf.register_opts(OPTS, group=GROUP)
