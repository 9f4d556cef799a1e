# SPDX-License-Identifier: Apache-2.0
"""Start-up messages of the programs about options that they do not have."""

from __future__ import annotations

import logging
from importlib import metadata

import pytest
from oslo_config import cfg

from worker.cmd import backup, volume
from worker.service import process

BACKEND = "[b1]\nvolume_driver = noop\nprocesses = 3\n"


@pytest.fixture
def start(write, tmp_path, monkeypatch, caplog):
    """A function that starts a program up to where it would fork, and returns its warnings."""
    started = []
    monkeypatch.setattr(
        process, "serve", lambda conf, services, topic, name: started.append(services)
    )
    caplog.set_level(logging.WARNING)

    def start(program, text, *arguments):
        head = f"[DEFAULT]\nstate_path = {tmp_path}/state\nenabled_backends = b1,b2\n"
        path = write(f"{head}{text}\n{BACKEND}[b2]\nvolume_driver = local\n", "holdfast.conf")
        monkeypatch.setattr(program.log_output, "set_up", lambda conf, prog: None)
        program.main(["--config-file", path, *arguments])
        assert started
        return [record.getMessage() for record in caplog.records if "NOT DURABLE" not in record.msg]

    yield start
    cfg.CONF.reset()


@pytest.mark.parametrize("program", [volume, backup])
def test_unknown_options_are_told_once_before_there_are_processes(start, program, tmp_path):
    told = start(program, "frobnicate = 1\nosapi_volume_workers = 4")

    assert told == [
        f"{tmp_path}/holdfast.conf:4: [DEFAULT] frobnicate: unknown, so it has no effect"
    ]


@pytest.mark.parametrize("program", [volume, backup])
def test_what_is_known_is_not_told(start, program):
    assert start(program, "osapi_volume_workers = 4\nreinit_driver_count = 5\nmy_ip = ::1") == []


def test_what_is_not_supported_refuses_the_start(start, tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        start(volume, "volume_manager = ours.Manager")

    assert caught.value.code == 78
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(
        f"{tmp_path}/holdfast.conf:4: [DEFAULT] volume_manager: loads a class of"
    )
    assert start(backup, "volume_manager = ours.Manager") == []


def test_what_is_accepted_does_not(start):
    text = "accept_unsupported = volume_manager\nvolume_manager = ours.Manager"

    assert start(volume, text) == []


def test_a_backend_that_is_not_served_does_not(start):
    text = "[b3]\nvolume_copy_bps_limit = 1"

    with pytest.raises(SystemExit):
        start(volume, f"{text.replace('b3', 'b2')}")
    assert start(volume, text.replace("b3", "b2"), "--backend", "b1") == []


@pytest.mark.parametrize("program", [volume, backup])
def test_the_version_is_printed(program, capsys):
    with pytest.raises(SystemExit) as caught:
        program.main(["--version"])
    cfg.CONF.reset()

    assert caught.value.code == 0
    assert capsys.readouterr().out == f"{program.PROG} {metadata.version('holdfast')}\n"
