# SPDX-License-Identifier: Apache-2.0
"""Log lines: priorities in systemd's journal, each error once, no secrets, also after a SIGHUP."""

from __future__ import annotations

import io
import logging
import os
import re
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TextIO

import pytest
from oslo_config import cfg
from oslo_log import formatters
from oslo_log import log as oslo_log

from worker import log_output
from worker.conf.check.problems import ConfigError

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def conf() -> cfg.ConfigOpts:
    """Options of oslo.log."""
    options = cfg.ConfigOpts()
    oslo_log.register_options(options)
    options([], default_config_files=[])
    return options


@pytest.fixture
def logging_to(conf: cfg.ConfigOpts) -> Iterator[Callable[[TextIO], logging.Logger]]:
    """Return a logger that writes to a stream as those of the services do."""
    logger = logging.getLogger("tests.log_output")
    before = list(logger.handlers)

    def made(stream: TextIO) -> logging.Logger:
        handler = logging.StreamHandler(stream)
        handler.setFormatter(formatters.ContextFormatter(config=conf, datefmt="%H:%M:%S"))
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
        log_output.protect_handlers()
        return logger

    yield made
    logger.handlers = before


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TextIO]:
    """A stream that the environment names as that of systemd's journal."""
    with (tmp_path / "journal").open("w+", encoding="utf-8") as stream:
        found = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino}")
        yield stream


def lines_of(stream: TextIO) -> list[str]:
    stream.flush()
    stream.seek(0)
    return stream.read().splitlines()


def test_each_line_in_the_journal_has_the_priority_of_its_level(
    logging_to: Any, journal: TextIO
) -> None:
    log = logging_to(journal)
    for level in ("debug", "info", "warning", "error", "critical"):
        getattr(log, level)("at the level")

    assert [line[:3] for line in lines_of(journal)] == ["<7>", "<6>", "<4>", "<3>", "<2>"]


def test_each_line_of_a_traceback_has_the_priority(logging_to: Any, journal: TextIO) -> None:
    log = logging_to(journal)
    try:
        raise ValueError("several\nlines")
    except ValueError:
        log.exception("it failed")

    found = lines_of(journal)
    assert len(found) > 3
    assert {line[:3] for line in found} == {"<3>"}


def test_other_streams_have_no_priorities(logging_to: Any, journal: TextIO, tmp_path: Path) -> None:
    with (tmp_path / "other").open("w+", encoding="utf-8") as other:
        logging_to(other).error("it failed")
        memory = io.StringIO()
        logging_to(memory).error("it failed")

        assert not any(line.startswith("<") for line in lines_of(other) + lines_of(memory))


def test_an_error_that_ends_a_start_has_its_priority(
    journal: TextIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", journal)

    with pytest.raises(SystemExit) as ended, log_output.starting():
        raise ConfigError("[DEFAULT] host: bad\nvalue")

    assert ended.value.code == 78
    assert lines_of(journal) == ["<3>[DEFAULT] host: bad\\nvalue"]


def test_an_error_that_ends_a_start_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended, log_output.starting():
        raise ConfigError("[DEFAULT] host: bad\nvalue")

    assert ended.value.code == 78
    assert capsys.readouterr().err == "[DEFAULT] host: bad\\nvalue\n"


def test_an_error_that_ends_a_start_is_the_status_of_the_service(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="hfs-") as folder,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd,
    ):
        systemd.bind(f"{folder}/notify")
        systemd.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", f"{folder}/notify")
        with pytest.raises(SystemExit), log_output.starting():
            raise ConfigError("[DEFAULT] host: bad\nvalue")

        assert systemd.recv(1000) == b"STATUS=[DEFAULT] host: bad\\nvalue"


@pytest.mark.parametrize("text", ["it cannot be used: %s", "it cannot be used: %r", "no tables"])
@pytest.mark.parametrize("traceback", [False, True])
def test_the_text_of_a_handled_error_stands_once_in_a_line(
    logging_to: Any, text: str, traceback: bool
) -> None:
    stream = io.StringIO()
    log = logging_to(stream)
    try:
        raise LookupError("table services\nis not there, password=hunter2")
    except LookupError as error:
        log.error(text, *([error] if "%" in text else []), exc_info=traceback)

    assert lines_of(stream)[0].count("table services") == 1


def test_our_own_lines_have_their_reason_themselves(conf: cfg.ConfigOpts) -> None:
    formatter = log_output.LineFormatter(formatters.ContextFormatter(config=conf))
    record = logging.LogRecord("worker.db", logging.WARNING, "p", 1, "away: short", (), None)
    try:
        raise OSError("(driver.OperationalError) (2003, 'short and more')")
    except OSError:
        line = formatter.format(record)

    assert line.endswith("away: short")


def test_no_secret_of_an_error_reaches_the_log(logging_to: Any) -> None:
    stream = io.StringIO()
    log = logging_to(stream)
    try:
        raise RuntimeError("array says: password=hunter2 at http://admin:hunter2@array/")
    except RuntimeError as error:
        log.warning("backend a did not come up: %s", error)
        log.exception("it failed")

    assert "hunter2" not in stream.getvalue()
    assert "password=***" in stream.getvalue()


def test_fields_of_the_formatter_for_fluentd_are_masked(conf: cfg.ConfigOpts) -> None:
    formatter = log_output.LineFormatter(formatters.FluentFormatter())
    record = logging.LogRecord("n", logging.ERROR, "p", 1, "password=hunter2", (), None)

    assert formatter.format(record)["message"] == "password=***"


@pytest.fixture
def appended(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[SimpleNamespace]:
    """A configuration with a file of ``log_config_append``, and the loggers put back."""
    root = logging.getLogger()
    before = root.level, list(root.handlers)
    file = tmp_path / "logging.conf"
    text = (ROOT / "etc/holdfast/logging.conf").read_text().replace(", file", "")
    file.write_text(text.replace("[handler_file]", "[handler_unused]"))
    options = cfg.ConfigOpts()
    oslo_log.register_options(options)
    main = tmp_path / "holdfast.conf"
    main.write_text(f"[DEFAULT]\nlog_config_append = {file}\n")
    options([f"--config-file={main}"])
    yield SimpleNamespace(
        conf=options, file=file, lines=lambda: capsys.readouterr().err.split("\n")
    )
    root.handlers = before[1]
    root.setLevel(before[0])
    names = ("worker", "flows", "drivers", "taskflow", "oslo_messaging", "amqp", "sqlalchemy")
    for logger in map(logging.getLogger, (*names, "cinder", "nova")):
        logger.setLevel(logging.NOTSET)
        logger.handlers, logger.propagate = [], True


def touched(file: Path, text: str, seconds: int) -> None:
    file.write_text(text)
    os.utime(file, (seconds, seconds))


def test_the_shipped_file_writes_a_time_with_three_digits_of_milliseconds(appended: Any) -> None:
    log_output.set_up(appended.conf, "holdfast")
    logging.getLogger("worker.x").warning("shown")

    line, _end = appended.lines()
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} \d+ WARNING worker\.x ", line)


def test_lines_are_printable_after_the_file_was_read_again(appended: Any) -> None:
    log_output.set_up(appended.conf, "holdfast")
    touched(appended.file, appended.file.read_text(), 1_000_000_000)
    log_output.reread(appended.conf)
    logging.getLogger("worker.x").warning("a\nforged")

    assert appended.lines()[-2].endswith("a\\nforged")


def test_a_file_that_cannot_be_used_any_more_leaves_the_log_as_it_is(appended: Any) -> None:
    log_output.set_up(appended.conf, "holdfast")
    touched(appended.file, "[handlers]\nkeys = none\n", 1_000_000_001)
    log_output.reread(appended.conf)
    logging.getLogger("worker.x").warning("shown")

    refused, shown, _end = appended.lines()
    assert "the previous values stay in effect" in refused
    assert shown.endswith("shown")


def test_a_file_that_cannot_be_used_ends_the_start_with_its_option(appended: Any) -> None:
    appended.file.write_text("[loggers]\nkeys = root\n")

    with pytest.raises(ConfigError, match=r"holdfast\.conf:2: \[DEFAULT\] log_config_append: "):
        log_output.set_up(appended.conf, "holdfast")


FOREIGN = """\
[loggers]
keys = root, {name}
[handlers]
keys = null, stderr
[formatters]
keys =
[logger_root]
level = WARNING
handlers = null
[logger_{name}]
level = INFO
handlers = stderr
qualname = {name}
[handler_null]
class = logging.NullHandler
args = ()
[handler_stderr]
class = StreamHandler
args = (sys.stderr,)
"""


@pytest.mark.parametrize("again", [False, True])
def test_with_a_file_of_cinder_our_lines_go_where_its_own_went(appended: Any, again: bool) -> None:
    """The root of such a file writes nothing."""
    appended.file.write_text(FOREIGN.format(name="cinder"))
    log_output.set_up(appended.conf, "holdfast")
    if again:
        touched(appended.file, appended.file.read_text(), 1_000_000_000)
        log_output.reread(appended.conf)
    for name in ("worker.x", "flows.x", "drivers.x", "cinder.x"):
        logging.getLogger(name).info("shown by %s", name)
        logging.getLogger(name).debug("not shown")

    shown = [line for line in appended.lines() if line.startswith("shown")]
    assert shown == [f"shown by {name}.x" for name in ("worker", "flows", "drivers", "cinder")]


def test_a_file_that_writes_no_line_of_ours_is_named_with_the_loggers(appended: Any) -> None:
    appended.file.write_text(FOREIGN.format(name="nova"))
    log_output.set_up(appended.conf, "holdfast")
    logging.getLogger("worker.x").error("not shown")

    line, end = appended.lines()
    assert end == "" and re.match(r"\S+/holdfast\.conf:2: \[DEFAULT\] log_config_append: ", line)
    assert "writes no lines of the loggers worker, flows and drivers" in line


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("log_dir", "/proc/no/such/place"),
        ("log_file", "/proc/no/such/place/log"),
        ("default_log_levels", "nonsense"),
        ("syslog_log_facility", "nonsense"),
    ],
)
def test_a_log_that_cannot_be_opened_ends_the_start_with_its_option(
    tmp_path: Path, option: str, value: str
) -> None:
    options = cfg.ConfigOpts()
    oslo_log.register_options(options)
    main = tmp_path / "holdfast.conf"
    syslog = "use_syslog = true\n" if option.startswith("syslog") else ""
    main.write_text(f"[DEFAULT]\n{syslog}{option} = {value}\n")
    options([f"--config-file={main}"], prog="holdfast")

    root = logging.getLogger()
    before = list(root.handlers)
    named = "use_syslog" if syslog else option
    try:
        with pytest.raises(ConfigError, match=rf"holdfast\.conf:2: \[DEFAULT\] {named}: the log "):
            log_output.set_up(options, "holdfast")
    finally:
        root.handlers = before
