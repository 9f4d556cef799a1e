# SPDX-License-Identifier: Apache-2.0
"""Shares and limits of projects in the processes of a service; section [DEFAULT]."""

from __future__ import annotations

from oslo_config import cfg, types

OPTS = [
    cfg.Opt(
        "project_weights",
        type=types.Dict(types.Integer(min=1, max=1000)),
        default={},
        mutable=True,
        help="Shares of projects, relative to each other, in the threads of each process, where "
        "casts of several projects wait: the id of a project, or * for the others, and its "
        "weight, as 8f3c...:4,*:1. By default each project has 1.",
    ),
    cfg.Opt(
        "project_operations_max",
        type=types.Dict(types.Integer(min=0)),
        default={},
        mutable=True,
        help="How many operations of a project run at once in each process, of each kind "
        "(quick ones, data transfers, others): the id of a project, or * for the others, and the "
        "number, as 8f3c...:40,*:20. 0, the default, means no limit. Calls do not count.",
    ),
    cfg.Opt(
        "project_bandwidth_mib",
        type=types.Dict(types.Integer(min=0)),
        default={},
        mutable=True,
        help="MiB in a second that the data transfers of a project move together in each "
        "process: images, copies, backups and restores; the id of a project, or * for the others, "
        "and the number. 0, the default, means no limit.",
    ),
]


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Make the options known."""
    conf.register_opts(OPTS)
