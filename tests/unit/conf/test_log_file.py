# SPDX-License-Identifier: Apache-2.0
"""The file of ``log_config_append``: faults, and loggers of ours that it leaves without output."""

from __future__ import annotations

import configparser
from pathlib import Path

import pytest

from worker.conf.check import checker, log_file

SHIPPED = Path(__file__).parents[3] / "etc/holdfast/logging.conf"

PARTS = {
    "loggers": {"keys": "root, other"},
    "handlers": {"keys": "out, null"},
    "formatters": {"keys": ""},
    "logger_root": {"level": "WARNING", "handlers": "null"},
    "logger_other": {"level": "INFO", "handlers": "out", "qualname": "other"},
    "handler_out": {"class": "StreamHandler", "args": "(sys.stdout,)"},
    "handler_null": {"class": "logging.NullHandler", "args": "()"},
}


@pytest.fixture
def make(tmp_path):
    """A function that writes a file with changed parts; None removes one."""

    def make(**changes):
        parser = configparser.RawConfigParser()
        parts = {**PARTS, **changes}
        for name, options in parts.items():
            if options is not None:
                parser.read_dict({name: {**PARTS.get(name, {}), **options}})
        path = tmp_path / "logging.conf"
        with path.open("w") as file:
            parser.write(file)
        return str(path)

    return make


def test_the_shipped_file_is_in_order():
    assert (log_file.fault(str(SHIPPED)), log_file.silence(str(SHIPPED))) == ("", "")


@pytest.mark.parametrize(
    ("changes", "silent"),
    [
        ({}, ["worker", "flows", "drivers"]),
        ({"logger_root": {"level": "INFO", "handlers": "out"}}, []),
        ({"logger_root": {"handlers": "out"}}, ["worker", "flows", "drivers"]),  # no INFO
        ({"logger_other": {"qualname": "cinder"}}, []),
        ({"logger_other": {"qualname": "cinder", "level": "ERROR"}}, [*log_file.LOGGERS]),
        ({"logger_other": {"qualname": "worker"}}, ["flows", "drivers"]),
        (
            {"logger_other": {"qualname": "worker", "handlers": "", "propagate": "0"}},
            ["worker", "flows", "drivers"],
        ),
    ],
)
def test_loggers_without_output_are_found(make, changes, silent):
    assert log_file.LogFile(make(**changes)).silent() == silent


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"loggers": None}, "it has no section [loggers]"),
        ({"handler_null": None}, "it has no section [handler_null]"),
        ({"logger_other": None}, "it has no section [logger_other]"),
        ({"formatters": {"keys": "f"}}, "it has no section [formatter_f]"),
        ({"loggers": {"keys": "other"}}, "it has no logger root"),
        ({"logger_other": {"handlers": "out, more"}}, "it has no handler more"),
        ({"logger_other": {"level": "LOUD"}}, "[logger_other] has no level that is known"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(make, changes, text):
    path = make(**changes)

    assert log_file.fault(path) == f"{path} cannot be used: {text}"


def test_a_check_reports_the_file_with_its_line(write, make):
    head = "[DEFAULT]\nenabled_backends = b1\nlog_config_append = {}\n[b1]\nvolume_driver = noop\n"
    found = {}
    for kind, path in (("absent", "/no/logging.conf"), ("foreign", make())):
        problems = checker.check([write(head.format(path))])
        found[kind] = [one for one in problems if one.option == "log_config_append"]

    [absent], [foreign] = found["absent"], found["foreign"]
    assert (absent.line, absent.fatal) == (3, True)
    assert absent.text == "/no/logging.conf cannot be used: No such file or directory"
    assert (foreign.line, foreign.fatal) == (3, False)
    assert "worker, flows and drivers" in foreign.text


@pytest.mark.parametrize("pair", ["amqp", "amqp=", "amqp=LOUD", "amqp=warn", "=a=INFO"])
def test_a_level_that_cannot_be_set_is_an_error_with_its_line(write, pair):
    head = "[DEFAULT]\nenabled_backends = b1\ndefault_log_levels = sqlalchemy=WARN,a=5,{}\n[b1]\n"

    problems = checker.check([write(head.format(pair) + "volume_driver = noop\n")])

    [problem] = [one for one in problems if one.option == "default_log_levels"]
    assert (problem.line, problem.fatal) == (3, True)
    assert problem.text.startswith(f"{pair!r} is not logger=LEVEL")


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("logging_default_format_string", "%(nope)s"),
        ("logging_context_format_string", "%(message"),
    ],
)
def test_a_format_that_no_line_fits_is_an_error_with_its_line(write, option, text):
    """The library prints a traceback in place of each line."""
    head = f"[DEFAULT]\nenabled_backends = b1\n{option} = {text}\n[b1]\nvolume_driver = noop\n"

    [problem] = [one for one in checker.check([write(head)]) if one.option == option]
    assert (problem.line, problem.fatal) == (3, True)
    assert problem.text.startswith("is no format: ")
