# SPDX-License-Identifier: Apache-2.0
"""Lines of commands outside of tables show foreign texts in printable characters."""

from __future__ import annotations

import contextlib
import io
import logging
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.hostile.texts.test_printable import TEXTS, Terminal
from worker import cli
from worker.cli.access import Command
from worker.cli.main import Holdfast
from worker.cli.output import flow_graph
from worker.cli.output.colour import Colour
from worker.cli.output.printable_errors import PrintableFormatter
from worker.journal.entries.tasks import Task, build


class Written(Command):
    """A command that writes foreign texts."""

    text = ""

    def take_action(self, parsed_args: Any) -> None:
        colour = Colour(self.app.stdout)
        self.write(f"volume {self.text}", colour(f"status {self.text}", "bad"))
        self.warn(self.text)


def written(text: str, stream: io.StringIO) -> tuple[str, str]:
    app, errors = Holdfast(), io.StringIO()
    app.stdout, app.stderr = stream, errors
    app.options = SimpleNamespace(debug=True, config_file=[])
    command = type("Written", (Written,), {"text": text})(app, None)
    command.run(command.get_parser("test").parse_args([]))
    return stream.getvalue(), errors.getvalue()


@TEXTS
def test_a_line_is_one_printable_line(text: str) -> None:
    for one in written(text, io.StringIO(newline="")):
        lines = one.split("\n")
        assert all(line.isprintable() for line in lines)
    first, second, end = written(text, io.StringIO(newline=""))[0].split("\n")
    assert (first[:7], second[:7], end) == ("volume ", "status ", "")


@TEXTS
@pytest.mark.parametrize(
    "words",
    [["{}"], ["slot", "{}"], ["flow", "list", "{}"], ["flow", "show", "x", "--{}"], ["--{}"]],
)
def test_words_that_are_no_command_are_shown_as_escapes(
    capsys: pytest.CaptureFixture[str], words: list[str], text: str
) -> None:
    app, root = Holdfast(), logging.getLogger()
    app.stdout, app.stderr, before = io.StringIO(), io.StringIO(), list(root.handlers)
    try:
        with contextlib.suppress(SystemExit):
            app.run([word.format(text) for word in words])
    finally:
        root.handlers[:] = before
    shown = app.stdout.getvalue() + app.stderr.getvalue() + capsys.readouterr().err

    assert shown
    assert all(line.isprintable() for line in shown.split("\n"))
    assert not any(line.startswith("2026") for line in shown.split("\n"))


@TEXTS
def test_a_log_line_of_a_command_is_printable(text: str) -> None:
    formatter = PrintableFormatter(Holdfast.CONSOLE_MESSAGE_FORMAT)
    try:
        raise ValueError(text)
    except ValueError as error:
        how: Any = (type(error), error, error.__traceback__)
    record = logging.LogRecord("x", logging.ERROR, "x.py", 1, "volume %s", (text,), how)
    head, *traceback = formatter.format(record).split("\n")

    assert head.startswith("holdfast: volume ") and len(traceback) > 2
    assert all(line.isprintable() for line in (head, *traceback))


@TEXTS
def test_a_terminal_gets_no_sequence_but_colours(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    shown, _errors = written(text, Terminal(newline=""))

    assert shown.count("\n") == 2
    assert "\033[31mstatus " in shown
    assert re.sub(r"\033\[(0|1|2|31|32|33|36)m", "", shown).replace("\n", "").isprintable()


@TEXTS
@pytest.mark.parametrize("form", ["dot", "mermaid"])
def test_a_state_of_the_journal_in_a_graph(form: str, text: str) -> None:
    flow = build("flows.volume.delete:flow", {})
    name = next(node.name for node, _data in flow.iter_nodes())
    known = {name: Task(name, f'{text}"]; x[label="')}
    lines = flow_graph.FORMATS[form](flow, known, Colour(io.StringIO()))

    (line,) = [line for line in lines if "; x[label=" in line]
    assert all(line.isprintable() for line in lines)
    assert line.count('"') == {"dot": 4, "mermaid": 2}[form]  # around the name, and the label


def test_no_command_writes_to_its_output_by_another_way() -> None:
    modules = Path(cli.__file__).parent.rglob("*.py")
    found = [
        f"{path.name}: {line.strip()}"
        for path in modules
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.search(r"stdout\.write|\bprint\(", line)
    ]

    assert found == []
