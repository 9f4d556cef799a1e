# SPDX-License-Identifier: Apache-2.0
"""Two programs' options in one oslo.config object: Cinder's beside ours.

Both register theirs on the global object, under the same names where they mean the
same. The one that is there first stays, which is ours; its value is that of the same
file and line. Only its description and its range may differ.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from oslo_config import cfg

from drivers.compat import oslo_config

SECTION = "backend_defaults"


def be_lenient(conf: cfg.ConfigOpts) -> None:
    """From now on, keep an option that is registered otherwise, instead of refusing the second.

    An option of the command line that comes too late for it is one of the files.
    """
    if "register_opt" in vars(conf):
        return
    register, register_cli = conf.register_opt, conf.register_cli_opt

    @functools.wraps(register)
    def keep(opt: cfg.Opt, group: Any = None, cli: bool = False, **more: Any) -> bool:
        try:
            return bool(register(opt, group, cli, **more))
        except cfg.DuplicateOptError:
            return False

    @functools.wraps(register_cli)
    def keep_cli(opt: cfg.Opt, group: Any = None, **more: Any) -> bool:
        try:
            return bool(register_cli(opt, group, **more))
        except cfg.DuplicateOptError:
            return False
        except cfg.ArgsAlreadyParsedError:
            return keep(opt, group, **more)

    conf.register_opt, conf.register_cli_opt = keep, keep_cli


@contextmanager
def kept_defaults(conf: cfg.ConfigOpts) -> Iterator[None]:
    """Keep the defaults of options that are registered already.

    Cinder's modules do so while they are imported, as of where the database is.
    """
    set_default: Callable[..., None] = conf.set_default
    known = {(section, option.dest) for section, option in oslo_config.registered(conf)}

    @functools.wraps(set_default)
    def guarded(name: str, default: Any, group: Any = None) -> None:
        if (_named(group), name) not in known:
            set_default(name, default, group)

    conf.set_default = guarded
    try:
        yield
    finally:
        del conf.set_default


def _named(group: Any) -> str:
    if group is None:
        return "DEFAULT"
    return str(getattr(group, "name", group))
