# SPDX-License-Identifier: Apache-2.0
"""Ids that are empty, short or ambiguous are errors, for each command that takes one."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from typing import Any

import pytest
from cliff.commandmanager import CommandManager

from tests.unit.cli.conftest import Shell
from worker.cli.access import _IDS
from worker.cli.lookup.candidates import LEAST, SHOWN, Candidates
from worker.cli.lookup.errors import CommandError
from worker.cli.main import Holdfast
from worker.journal.journal import Journal

_NO_IDS = {"image", "project", "to"}
"""Ids of other services and of arrays, which are not looked up here."""


def taking_ids() -> Iterator[Any]:
    """Yield each command line with an id, and where the id stands in it."""
    for name, _entry in sorted(CommandManager("holdfast.cli")):
        factory, _name, _rest = CommandManager("holdfast.cli").find_command(name.split())
        parser = factory(Holdfast(), None).get_parser(name)
        for action in parser._actions:
            if "ID" in str(action.metavar) and action.dest not in _NO_IDS:
                words = [*name.split(), *_required(parser, action)]
                option = action.option_strings[:1]
                yield pytest.param([*words, *option], id=f"{name} {action.dest}")


def _required(parser: argparse.ArgumentParser, besides: argparse.Action) -> list[str]:
    """Return words for the other arguments that must be given, and for those of a cast."""
    words = []
    for action in parser._actions:
        if action is not besides and action.required and not action.option_strings:
            words.append("create_volume" if action.dest == "method" else "12345")
        if action.required and action.choices and action.option_strings:
            words += [action.option_strings[0], next(iter(action.choices))]
    if besides.dest == "volume" and "create_volume" in words:
        words[words.index("create_volume")] = "delete_volume"
    if "create_volume" in words:
        words += ["--size", "1", "--host", "n@b#p"]
    if parser.prog == "backup restore" and besides.dest == "id":
        words += ["--volume", "12345"]
    return words


LINES = list(taking_ids())


def test_commands_with_ids_are_found() -> None:
    names = {parameter.id for parameter in LINES}

    assert len(names) > 15
    assert {"flow cancel id", "volume show id", "cast snapshot", "backup create volume"} <= names
    assert {name.rpartition(" ")[2] for name in names} <= set(_IDS)


@pytest.mark.parametrize("words", LINES)
@pytest.mark.parametrize("wanted", ["", " "])
def test_an_empty_id_is_refused(holdfast: Shell, words: list[str], wanted: str) -> None:
    ran = holdfast(*words, wanted)

    assert ran.status == 1
    kinds = "flow|volume|snapshot|source|image"
    assert re.search(rf"the id( of the ({kinds}))? is missing$", ran.errors[-1])


@pytest.fixture
def installation(holdfast: Shell) -> Shell:
    """Commands that have a journal and a backup."""
    journal = Journal(holdfast.conf.journal.connection)
    journal.upgrade()
    journal.close()
    holdfast.records.backups.create(id="12345", volume_id="v", status="available", size=1)
    return holdfast


@pytest.mark.parametrize("words", LINES)
def test_a_short_id_is_refused(installation: Shell, words: list[str]) -> None:
    ran = installation(*words, "abc")

    assert ran.status == 1
    assert "abc is too short for the id of a " in ran.errors[-1]


def found_among(wanted: str, *names: str) -> object:
    candidates = Candidates("flow", wanted)
    for name in names:
        candidates.add(name, f"flow {name}")
    return candidates.only("flow list")


def test_a_whole_id_is_found_however_short_it_is() -> None:
    assert found_among("ab", "abcdef", "ab") == "flow ab"


def test_an_id_of_the_least_length_is_found() -> None:
    assert found_among("abcdef"[:LEAST], "abcdef", "xbcdef") == "flow abcdef"


def test_an_ambiguous_id_lists_the_candidates_with_their_kinds() -> None:
    candidates = Candidates("flow", "abcd")
    candidates.add("abcd1", 1)
    candidates.add("abcd2", 2, "volume")

    with pytest.raises(CommandError, match="several ids: flow abcd1, volume abcd2$"):
        candidates.only("flow list")


def test_a_long_list_of_candidates_is_cut() -> None:
    names = [f"abcd{number}" for number in range(SHOWN + 5)]

    with pytest.raises(CommandError, match=f"flow abcd{SHOWN - 1} and 5 more$"):
        found_among("abcd", *names)


def test_a_thing_without_an_id_is_never_found() -> None:
    with pytest.raises(CommandError, match="does not exist"):
        found_among("abcd", "", "")
