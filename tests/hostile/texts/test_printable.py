# SPDX-License-Identifier: Apache-2.0
"""Log lines and tables show each character of foreign texts, or an escape."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oslo_config import cfg
from oslo_log import formatters

from tests.length import examples
from worker.cli.access import CommandError, Lister, ShowOne, line_of
from worker.cli.main import Holdfast
from worker.conf import option_groups  # noqa: F401  (registers options of oslo.log)
from worker.log_output import LineFormatter, protect_handlers
from worker.printable import printable

HOSTILE = {
    "escape": "\x1b]0;owned\x07\x1b[2J\x1b[31m",
    "C1": "\x9b31m\x90",
    "line": "x\n2026-01-01 00:00:00.000 1 ERROR worker [-] forged",
    "return": "good\rbad",
    "backspace": "rm\b\b  ",
    "NUL": "a\x00b",
    "bidi": "\u202egnp.exe\u202c \u2066\u2069\u200f\u061c",
    "zero width": "adm\u200bin\u2060\ufeff\u00ad",
    "separators": "a\u2028b\u2029c\x85d\x0b\x0c",
    "tags": "\U000e0041\U000e007f",
    "surrogate": "\ud800",
}

TEXTS = pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)


@pytest.fixture
def log() -> Iterator[Any]:
    """A logger with a stream, and the context formatter of the services."""
    conf = cfg.ConfigOpts()
    logger, stream = logging.getLogger("tests.hostile.texts"), io.StringIO()
    handler = logging.StreamHandler(stream)
    from oslo_log import log as oslo_log

    oslo_log.register_options(conf)
    conf([], default_config_files=[])
    handler.setFormatter(formatters.ContextFormatter(config=conf, project="p", version="1"))
    logger.addHandler(handler)
    protect_handlers()
    protect_handlers()
    yield SimpleNamespace(logger=logger, text=stream.getvalue, handler=handler)
    logger.removeHandler(handler)


@TEXTS
def test_a_log_line_stays_one_printable_line(log: Any, text: str) -> None:
    log.logger.error("volume %s failed: %r %s", text, {"name": text}, ValueError(text))
    log.logger.error("cast " + text)  # noqa: G003 - as a message without arguments
    log.logger.error("resource", extra={"resource": text, "instance": text})

    lines = log.text().split("\n")
    assert len(lines) == 4 and lines[-1] == ""
    assert all(line.isprintable() for line in lines)


@TEXTS
def test_a_traceback_keeps_its_lines_and_forges_none(log: Any, text: str) -> None:
    try:
        raise ValueError(text)
    except ValueError:
        log.logger.exception("failed %s", text)

    lines = log.text().rstrip("\n").split("\n")
    assert len(lines) > 3
    assert all(line.isprintable() for line in lines)
    # The formatter writes its prefix before each line of a traceback.
    assert all(" ERROR tests.hostile.texts " in line for line in lines)


@TEXTS
def test_a_traceback_forges_none_without_a_prefix_either(log: Any, text: str) -> None:
    """A file of ``log_config_append`` may name any formatter."""
    log.handler.setFormatter(LineFormatter(logging.Formatter("HEAD %(message)s")))
    try:
        try:
            raise OSError(text)
        except OSError as error:
            raise ValueError(f"a\nHEAD {text}\nHEAD") from error
    except ValueError:
        log.logger.exception("failed %s", text)
    log.logger.error("failed %s", f"a\nHEAD {text}", stack_info=True)
    log.logger.error(
        "failed %s", f"a\nHEAD {text}", exc_info=ExceptionGroup("a\nHEAD", [OSError()])
    )
    try:
        raise SyntaxError(f"a\nHEAD {text}")
    except SyntaxError:
        log.logger.exception("failed", stack_info=True)

    lines = log.text().rstrip("\n").split("\n")
    heads = [line for line in lines if line.startswith("HEAD")]
    assert len(heads) == 4
    assert all(line.isprintable() for line in lines)
    begins = ("HEAD", " ", "Traceback", "Stack")
    assert all(line.startswith(begins) or not line for line in lines)


def test_a_traceback_keeps_its_text() -> None:
    formatter = LineFormatter(logging.Formatter("HEAD %(message)s"))
    try:
        raise ValueError("Größe 日本 of volume é")
    except ValueError:
        record = logging.LogRecord("n", 40, "p", 1, "failed", (), sys.exc_info())
    head, first, *_frames, last = formatter.format(record).split("\n")

    assert (head, first) == ("HEAD failed", "Traceback (most recent call last):")
    assert last == "  ValueError: Größe 日本 of volume é"


def test_formatters_are_wrapped_once(log: Any) -> None:
    assert isinstance(log.handler.formatter, LineFormatter)
    assert not isinstance(log.handler.formatter.inner, LineFormatter)


@settings(max_examples=examples(2000), deadline=None)
@given(st.text(st.characters(codec=None)))
def test_any_text_becomes_printable_and_keeps_its_printable_part(text: str) -> None:
    shown = printable(text)

    assert shown.isprintable()
    assert shown.encode().decode() == shown
    if text.isprintable():
        assert shown == text


class Listed(Lister):
    """A command that lists foreign texts."""

    text = ""

    def take_action(self, parsed_args: Any) -> Any:
        return ("name", "value"), iter([(self.text, {"key": self.text})])


class Shown(ShowOne):
    """A command that shows foreign texts."""

    text = ""

    def take_action(self, parsed_args: Any) -> Any:
        return ("name", self.text), (self.text, [self.text])


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def output(command: Any, text: str, *words: str, stream: io.StringIO) -> str:
    app = Holdfast()
    app.stdout = stream
    app.options = SimpleNamespace(debug=True, config_file=[])
    made = type(command.__name__, (command,), {"text": text})(app, None)
    made.run(made.get_parser("test").parse_args(list(words)))
    return stream.getvalue()


@TEXTS
@pytest.mark.parametrize("command", [Listed, Shown])
def test_a_table_shows_printable_characters(command: Any, text: str) -> None:
    shown = output(command, text, stream=io.StringIO())

    assert all(line.isprintable() for line in shown.split("\n"))


@TEXTS
@pytest.mark.parametrize("format_of", ["json", "csv", "value", "yaml"])
def test_every_format_is_printable_on_a_terminal(text: str, format_of: str) -> None:
    shown = output(Listed, text, "-f", format_of, stream=Terminal(newline=""))

    assert all(line.rstrip("\r").isprintable() for line in shown.split("\n"))


def test_a_program_gets_the_text_as_it_is() -> None:
    text = HOSTILE["bidi"]

    assert text in output(Listed, text, "-f", "csv", stream=io.StringIO(newline=""))


@TEXTS
def test_an_error_is_one_printable_line(text: str) -> None:
    assert line_of(CommandError(f"volume {text} does not exist")).isprintable()
