# SPDX-License-Identifier: Apache-2.0
"""The service as a whole: its names, its rhythm, its backends; section [DEFAULT]."""

from __future__ import annotations

import socket
from typing import Any

from oslo_config import cfg, types

# "@" and "#" divide host, backend and pool in every address on the bus.
HOST_NAME = types.String(regex=r"^[^@#\s]+$")

CLUSTER_NAME = types.String(regex=r"^[^@#\s]*$")

# The id is put in by the % operator, so exactly one %s has to be there.
NAME_TEMPLATE = types.String(regex=r"^[^%]*%s[^%]*$")


class Names(types.List):
    """A list of names; empty ones, as of a comma too many, are left out as in Cinder."""

    def __call__(self, value: Any) -> list[str]:
        """Return the names."""
        return [name for name in super().__call__(value) if name]


SECTION = "DEFAULT"

OPTS = [
    cfg.Opt(
        "host",
        type=HOST_NAME,
        default=socket.gethostname(),
        sample_default="<host name>",
        help="Name of this node in the services table, in the host column of volumes and in "
        "the names of queues. It must stay the same for the life of the volumes, and differ "
        "between nodes that do not share their backends.",
    ),
    cfg.StrOpt(
        "state_path",
        default="/var/lib/holdfast",
        help="Directory for state that must outlive a restart: the journal and, by default, the "
        "database, the locks and the local driver's volumes.",
    ),
    cfg.Opt(
        "enabled_backends",
        type=Names(),
        default=[],
        help="Names of the backends to serve, comma separated. Each name is a section of "
        "this file with the options of its driver.",
    ),
    cfg.ListOpt(
        "accept_unsupported",
        default=[],
        help="Options of Cinder that are not supported, and with which the services start all "
        "the same: their names, comma separated, as volume_copy_bps_limit or, from other "
        "sections, key_manager.backend. Their effect is missing.",
    ),
    cfg.Opt(
        "cluster",
        type=CLUSTER_NAME,
        default="",
        help="Name of the cluster to which this volume service belongs: all its hosts serve the "
        "same backends from one queue. It needs drivers that are active-active, a journal on a "
        "database server and locks between hosts, see docs/clusters.rst. Empty means no cluster.",
    ),
    cfg.BoolOpt(
        "enable_new_services",
        default=True,
        help="Whether a service is enabled when it starts for the first time. If not, the "
        "scheduler uses it once an operator has enabled it.",
    ),
    cfg.StrOpt(
        "filter_function",
        help="Expression by which the scheduler accepts a backend for a volume, for backends "
        "whose section and [backend_defaults] have none.",
    ),
    cfg.StrOpt(
        "goodness_function",
        help="Expression by which the scheduler rates a backend for a volume, from 0 to 100, "
        "for backends whose section and [backend_defaults] have none.",
    ),
    cfg.IntOpt(
        "waiting_operations_max",
        default=20_000,
        min=1,
        help="How many accepted operations may wait, in each process, for their turn or for a "
        "thread; of operations that are done in a moment, others, and data transfers as many "
        "each. The rest waits on the bus.",
    ),
    cfg.IntOpt(
        "waiting_operations_mib",
        default=64,
        min=1,
        help="MiB of arguments, compressed, of the operations that wait, in each process; of each "
        "kind, and of calls, as many. A usual operation has 2 to 3 KiB, and a message up to 4 "
        "MiB before the compression. The rest waits on the bus.",
    ),
    cfg.IntOpt(
        "waiting_operations_per_resource",
        default=100,
        min=1,
        help="How many accepted operations may wait for their turn on one volume, snapshot, "
        "group or backup. The rest waits on the bus, and lets operations on other resources "
        "pass; behind 256 that wait so, those of other projects.",
    ),
    cfg.IntOpt(
        "report_interval",
        default=10,
        min=1,
        help="Seconds between two heartbeats in the services table.",
    ),
    cfg.IntOpt(
        "service_down_time",
        default=60,
        min=1,
        help="Seconds without a heartbeat after which a service counts as down. It must be "
        "longer than report_interval.",
    ),
    cfg.IntOpt(
        "backend_stats_polling_interval",
        default=60,
        min=3,
        help="Seconds between two requests for fresh statistics of a backend.",
    ),
    cfg.IntOpt(
        "migration_create_volume_timeout_secs",
        default=300,
        min=1,
        help="Seconds in which the destination of a migration has to create its volume.",
    ),
    cfg.Opt(
        "storage_availability_zone",
        type=types.String(max_length=255),
        default="nova",
        help="Availability zone of this node, for backends without backend_availability_zone.",
    ),
    cfg.Opt(
        "volume_name_template",
        type=NAME_TEMPLATE,
        default="volume-%s",
        help="Name of a volume on its backend; %s becomes its id.",
    ),
    cfg.Opt(
        "snapshot_name_template",
        type=NAME_TEMPLATE,
        default="snapshot-%s",
        help="Name of a snapshot on its backend; %s becomes its id.",
    ),
    cfg.StrOpt(
        "default_volume_type",
        default="__DEFAULT__",
        help="Volume type of volumes that are requested without one.",
    ),
    cfg.IntOpt(
        "message_ttl",
        default=2592000,
        min=0,
        help="Seconds that a message for the user about a failed operation is kept.",
    ),
    cfg.StrOpt(
        "volume_usage_audit_period",
        default="month",
        help="Period of holdfast usage audit: hour, day, month or year; day@6 begins at 6 o'clock "
        "UTC, month@15 on the 15th, year@4 in April.",
    ),
]


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Make the options of [DEFAULT] known."""
    conf.register_opts(OPTS)
