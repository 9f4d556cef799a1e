# SPDX-License-Identifier: Apache-2.0
"""holdfast-backup: the service that keeps backups of volumes, and restores them."""

from __future__ import annotations

import functools
import logging
import sys

# First: they keep eventlet, and parts of libraries that are seldom needed, out of the process.
from worker.compat import deferred, native_threads  # noqa: F401

from oslo_config import cfg  # isort: skip

from worker import file_modes  # isort: skip
from worker import log_output  # isort: skip
from worker.conf.option_groups import monitoring  # isort: skip
from worker.service.startup import memory  # isort: skip

PROG = "holdfast-backup"


@log_output.starting()
@memory.loading()
def main(argv: list[str] | None = None) -> None:
    """Read the configuration and serve; an error in it is one line and exit status 78."""
    # Late: the modules above choose native threads before anything of oslo loads.
    from worker import conf as config
    from worker.conf import database_files, option_groups, state_path

    file_modes.restrict()
    conf = config.load(argv, prog=PROG, cli_opts=monitoring.CLI_OPTS)
    state_path.prepare(conf)
    database_files.require_writable(conf)
    option_groups.backup.driver_class(conf)
    warnings = config.reviewed(conf, "backup")
    log_output.set_up(conf, PROG)
    _serve(conf, warnings)


def _serve(conf: cfg.ConfigOpts, warnings: list[str]) -> None:
    # Imported once, before the processes fork, as imports cost memory and time.
    from worker.rpc import topics, transport
    from worker.service import backup, fence, process

    log = logging.getLogger(__name__)
    for line in warnings:
        log.warning("%s", line)
    for warn in (transport.durability_warning, transport.verification_warning):
        if warning := warn(conf):
            log.warning(warning)
    make = functools.partial(backup.service, conf, fence=fence.HostFence())
    process.serve(conf, [(make, conf.backup_workers)], topics.BACKUP_TOPIC, PROG)


if __name__ == "__main__":
    main(sys.argv[1:])
