# SPDX-License-Identifier: Apache-2.0
"""Texts of help: lines that a description breaks on purpose stay lines."""

from __future__ import annotations

import argparse
import re
from typing import Any

import pytest
from cliff.commandmanager import CommandManager

from worker.cli.main import Holdfast

_INDENTED = re.compile(r"^ {6}\S", re.MULTILINE)
"""A line of an example, in the docstring of a class."""


def commands() -> list[Any]:
    """Return each command, by its name."""
    manager = CommandManager("holdfast.cli")
    names = sorted(name for name, _entry in manager)
    return [pytest.param(manager.find_command(name.split())[0], id=name) for name in names]


@pytest.mark.parametrize("factory", commands())
def test_examples_are_lines_of_their_own(factory: Any) -> None:
    parser = factory(Holdfast(), None).get_parser("holdfast")

    examples = _INDENTED.search(factory.__doc__ or "")
    assert not examples or parser.formatter_class is argparse.RawDescriptionHelpFormatter


def test_some_commands_have_examples() -> None:
    found = [one.id for one in commands() if _INDENTED.search(one.values[0].__doc__ or "")]

    assert {"cast", "backup prune", "service log-levels"} <= {*found}
