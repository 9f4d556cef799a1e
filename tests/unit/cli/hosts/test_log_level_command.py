# SPDX-License-Identifier: Apache-2.0
"""holdfast service log-levels: of a service that runs."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from tests.unit.cli.conftest import Shell
from worker.cli.hosts import logging_levels
from worker.service.start_stop import Service

NAME = "worker.test_of_levels"


@pytest.fixture(autouse=True)
def _logger(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A logger that only this module has."""
    logging.getLogger(NAME).setLevel(logging.INFO)
    monkeypatch.setattr(logging_levels, "_TAKES_EFFECT", 20.0)
    yield
    logging.getLogger(NAME).setLevel(logging.NOTSET)


def test_levels_are_shown_and_set(holdfast: Shell, service: Service) -> None:
    words = ("service", "log-levels", "cli@local", "--prefix", NAME, "-f", "json")
    shown = holdfast(*words)
    done = holdfast(*words, "--set", "debug")
    place = {"binary": "cinder-volume", "host": "cli@local", "logger": NAME}

    assert shown.status == 0, shown.errors
    assert shown.rows == [{**place, "level": "INFO"}]
    assert (done.status, done.rows) == (0, [{**place, "level": "DEBUG"}])
    assert logging.getLogger(NAME).level == logging.DEBUG


@pytest.mark.parametrize("host", ["cli@nowhere", "cli"])
def test_a_service_without_a_row_is_an_error(holdfast: Shell, service: Service, host: str) -> None:
    ran = holdfast("service", "log-levels", host)

    assert (ran.status, ran.errors) == (
        1,
        [f"there is no service {host}; see: holdfast service list"],
    )


def test_loggers_that_do_not_exist_are_an_error(holdfast: Shell, service: Service) -> None:
    ran = holdfast("service", "log-levels", "cli@local", "--prefix", "no.such.logger")

    assert ran.status == 1


def test_a_level_that_does_not_exist_is_wrong_usage(holdfast: Shell) -> None:
    with pytest.raises(SystemExit) as caught:
        holdfast("service", "log-levels", "cli@local", "--set", "LOUD")

    assert caught.value.code == 2
