# SPDX-License-Identifier: Apache-2.0
"""Options of the libraries below us: the log, the database, the bus, the processes."""

from __future__ import annotations

from worker.compat import native_threads  # noqa: F401  oslo.messaging chooses when it is imported

from cotyledon import oslo_config_glue as processes  # isort: skip
from oslo_config import cfg  # isort: skip
from oslo_db import options as database  # isort: skip
from oslo_log import log  # isort: skip
from oslo_messaging import opts as bus  # isort: skip

DATABASE = "sqlite:///$state_path/holdfast.sqlite"

# amqp warns at every orderly stop about an answer that arrives while a channel closes.
LOG_LEVELS = ("amqp=ERROR", "alembic=WARN", "kombu=WARN", "oslo_service=WARN")


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Make the options of the libraries known, with our defaults."""
    set_defaults()
    log.register_options(conf)
    database.set_defaults(conf, connection=DATABASE)
    processes.register_opts(conf)
    for group, options in bus.list_opts():
        conf.register_opts(options, group=group)


def set_defaults() -> None:
    """Change defaults that live in the libraries' own option lists."""
    ours = {level.partition("=")[0] for level in LOG_LEVELS}
    theirs = [
        level for level in log.get_default_log_levels() if level.partition("=")[0] not in ours
    ]
    log.set_defaults(default_log_levels=[*theirs, *LOG_LEVELS])
