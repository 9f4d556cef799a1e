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
    cfg.FloatOpt(
        "slot_ttl",
        default=15.0,
        min=0.5,
        max=86400.0,
        help="Seconds for which a process owns its operations without a renewal. Only for a "
        "journal on a database server; so are the other options of slots.",
    ),
    cfg.FloatOpt(
        "slot_renewal",
        default=3.0,
        min=0.1,
        help="Seconds between two renewals; less than slot_kill_after.",
    ),
    cfg.FloatOpt(
        "slot_kill_after",
        default=10.0,
        min=0.2,
        help="Seconds after the last successful renewal at which the kernel kills a process "
        "whose operations other hosts may adopt; less than slot_ttl. A process without such "
        "hosts waits for the database instead.",
    ),
    cfg.FloatOpt(
        "slot_takeover_margin",
        default=2.0,
        min=0.0,
        max=86400.0,
        help="Seconds after the end of slot_ttl before other hosts adopt the operations: more "
        "than the clocks of the database's nodes differ.",
    ),
]


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Make the options of the journal known."""
    conf.register_group(GROUP)
    conf.register_opts(OPTS, group=GROUP)
