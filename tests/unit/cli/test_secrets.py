# SPDX-License-Identifier: Apache-2.0
"""A password in the text of a driver's error is masked wherever a person reads the error."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest
from oslo_log import formatters

from drivers.volume.local import LocalDriver
from tests.unit.cli.conftest import Shell
from worker import log_output
from worker.service.start_stop import Service

TEXT = "array refused: login admin password=hunter2, see http://admin:hunter2@array/"


@pytest.fixture
def log(holdfast: Shell) -> Iterator[io.StringIO]:
    """The log of the service, as it writes it."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatters.ContextFormatter(config=holdfast.conf))
    root = logging.getLogger()
    root.addHandler(handler)
    log_output.protect_handlers()
    yield stream
    root.removeHandler(handler)


def test_the_password_is_shown_nowhere(
    holdfast: Shell, service: Service, log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_self: object, volume: object) -> None:
        raise RuntimeError(TEXT)

    monkeypatch.setattr(LocalDriver, "create_volume", refuse)
    service.parts.backend.attempt()  # a new instance, whose methods are looked up again
    waited = holdfast("cast", "create_volume", "--size", "1", "--wait")
    volume = waited.out.split()[1]
    shown = [
        "\n".join(waited.errors),
        holdfast("flow", "show", volume).out,
        holdfast("flow", "show", volume, "--traceback").out,
        holdfast("volume", "show", volume).out,
        log.getvalue(),
    ]

    assert waited.status == 1
    assert all("array refused" in text and "password=***" in text for text in shown)
    assert not any("hunter2" in text for text in shown)
