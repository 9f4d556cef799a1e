# SPDX-License-Identifier: Apache-2.0
"""holdfast-volume: the service that carries out operations on volumes and snapshots."""

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

PROG = "holdfast-volume"

CLI_OPTS = [
    cfg.MultiStrOpt(
        "backend",
        default=[],
        help="Serve only this one of the enabled backends; may be given several times.",
    ),
    *monitoring.CLI_OPTS,
]


@log_output.starting()
@memory.loading()
def main(argv: list[str] | None = None) -> None:
    """Read the configuration and serve; an error in it is one line and exit status 78."""
    # Late: the modules above choose native threads before anything of oslo loads.
    from worker import conf as config
    from worker.conf import backends, database_files, state_path
    from worker.conf.check import cluster_needs, config_files, problems

    file_modes.restrict()
    conf = config.load(argv, prog=PROG, cli_opts=CLI_OPTS)
    state_path.prepare(conf)
    database_files.require_writable(conf)
    names = {}
    for name in backends.enabled(conf, conf.backend):
        _driver, configuration = backends.configure(conf, name)
        names[name] = configuration.processes
    found = config_files.of(conf)
    problems.refuse(backends.directory_faults(conf, found, names))
    problems.refuse([*cluster_needs.faults(conf, found, list(names))])
    warnings = config.reviewed(conf, "volume", list(names))
    log_output.set_up(conf, PROG)
    _serve(conf, names, warnings)


def _serve(conf: cfg.ConfigOpts, names: dict[str, int], warnings: list[str]) -> None:
    # Imported once, before the processes fork, as imports cost memory and time.
    from worker.rpc import topics, transport
    from worker.service import fence, process, volume

    log = logging.getLogger(__name__)
    for line in warnings:
        log.warning("%s", line)
    for warn in (transport.durability_warning, transport.verification_warning):
        if warning := warn(conf):
            log.warning(warning)
    services = [
        (functools.partial(volume.service, conf, name, fence=fence.HostFence()), processes)
        for name, processes in names.items()
    ]
    process.serve(conf, services, topics.TOPIC, "-".join([PROG, *conf.backend]))


if __name__ == "__main__":
    main(sys.argv[1:])
