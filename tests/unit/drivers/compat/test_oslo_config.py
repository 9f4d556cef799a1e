# SPDX-License-Identifier: Apache-2.0
"""The private parts of oslo.config are as ``drivers.compat`` uses them."""

from __future__ import annotations

import pytest
from oslo_config import cfg

from drivers.compat import oslo_config

FILE = """\
[DEFAULT]
first = 1

[other]
second = one
    two
third = 3
"""


@pytest.fixture
def conf() -> cfg.ConfigOpts:
    """A configuration with an option of each kind of place."""
    made = cfg.ConfigOpts()
    made.register_cli_opt(cfg.StrOpt("shown"))
    made.register_opt(cfg.IntOpt("size"))
    made.register_opt(cfg.StrOpt("name"), group="section")
    made.register_cli_opt(cfg.StrOpt("way"), group="section")
    return made


def test_all_registered_options_are_listed_with_their_sections(conf: cfg.ConfigOpts) -> None:
    found = {(section, option.dest) for section, option in oslo_config.registered(conf)}

    assert {("DEFAULT", "shown"), ("DEFAULT", "size")} <= found
    assert {("section", "name"), ("section", "way")} <= found


def test_options_of_the_command_line_are_listed_with_their_sections(conf: cfg.ConfigOpts) -> None:
    found = {(section, option.dest) for section, option in oslo_config.on_command_line(conf)}

    assert {("DEFAULT", "shown"), ("section", "way")} <= found
    assert not {("DEFAULT", "size"), ("section", "name")} & found


def test_the_parser_knows_where_an_assignment_begins() -> None:
    class Parser(oslo_config.LineParser):
        def new_section(self, section: str) -> None:
            found.append((section, self.lineno))

        def assignment(self, key: str, value: list[str]) -> None:
            found.append((key, self.begin))

    found: list[tuple[str, int]] = []
    Parser().parse(FILE.splitlines(keepends=True))

    assert found == [("DEFAULT", 1), ("first", 2), ("other", 4), ("second", 5), ("third", 7)]
