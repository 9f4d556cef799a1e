# SPDX-License-Identifier: Apache-2.0
"""Configuration: it is registered, read and checked; ``groups`` has the options."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import metadata

from oslo_config import cfg

from worker.conf import option_groups
from worker.conf.check import checker, config_files, readable_files
from worker.conf.check.problems import ConfigError, Problem, refuse
from worker.conf.cinder import defaults
from worker.conf.cinder.review import Review

__all__ = ["ConfigError", "Problem", "load", "register_all", "reviewed"]

register_all = option_groups.register_all


def load(
    argv: Sequence[str] | None = None,
    *,
    prog: str,
    project: str = "holdfast",
    default_config_files: list[str] | None = None,
    cli_opts: Sequence[cfg.Opt] = (),
) -> cfg.ConfigOpts:
    """Read the command line and the configuration files, and refuse invalid ones.

    The result is oslo.config's global object: oslo.messaging finds some of its
    options nowhere else. It is only handed down from here, never imported.

    :param argv: the arguments, without the program's name; None takes sys.argv.
    :param prog: the program's name; ``<prog>.conf`` is looked for as well.
    :param default_config_files: instead of ``<project>.conf`` in ~/.<project>, ~,
        /etc/<project> and /etc; the command line's --config-file goes first.
    :param cli_opts: options of this program's command line.
    :raises ConfigError: a value that is known to be wrong, named with its place.
    """
    args = list(sys.argv[1:] if argv is None else argv)
    conf = cfg.CONF
    conf.clear()
    option_groups.register_all(conf)
    conf.register_cli_opts(cli_opts)
    files = config_files.chosen(args, project, prog, default_config_files)
    found = config_files.ConfigFiles(files)
    refuse(checker.early(conf, found))
    defaults.apply(conf, files)
    version = f"{prog} {metadata.version('holdfast')}"
    try:
        with checker.unresolved(conf, found):
            conf(
                args,
                project=project,
                prog=prog,
                version=version,
                default_config_files=default_config_files,
            )
    except cfg.Error as error:
        raise ConfigError(" ".join(str(error).split())) from None
    refuse(checker.start(conf))
    return conf


def reviewed(conf: cfg.ConfigOpts, service: str, served: Sequence[str] = ()) -> list[str]:
    """Refuse unsupported options of Cinder; return the warnings about others.

    :param service: volume or backup.
    :param served: the backends, whose options are registered.
    :raises ConfigError: an option would change the results that users see.
    """
    found = config_files.of(conf)
    review = Review(conf, found, served)
    refuse(review.refused(service))
    return [*review.warnings(), *map(str, readable_files.faults(conf, found))]
