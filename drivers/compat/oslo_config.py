# SPDX-License-Identifier: Apache-2.0
"""Private parts of oslo.config: lists of registered options, and lines of a file."""

from __future__ import annotations

from oslo_config import cfg, iniparser

Placed = tuple[str, cfg.Opt]
"""The section of an option, and the option."""


def registered(conf: cfg.ConfigOpts) -> list[Placed]:
    """Return all options that are registered with a configuration."""
    return [(_section(group), info["opt"]) for info, group in conf._all_opt_infos()]


def on_command_line(conf: cfg.ConfigOpts) -> list[Placed]:
    """Return the registered options that the command line accepts."""
    return [(_section(group), option) for option, group in conf._all_cli_opts()]


def _section(group: cfg.OptGroup | None) -> str:
    return str(group.name) if group else "DEFAULT"


class LineParser(iniparser.BaseParser):
    """oslo.config's own parser, which also knows where an assignment begins."""

    def __init__(self) -> None:
        super().__init__()
        self.begin = 0
        """The line of the assignment that ``assignment`` is called for."""

    def _split_key_value(self, line: str) -> tuple[str, list[str]]:
        # An assignment is complete only after its continuation lines.
        self.begin = self.lineno
        key, value = super()._split_key_value(line)
        return key, value
