# SPDX-License-Identifier: Apache-2.0
"""The collector of traces: one that cannot be used is refused in one line."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

from worker.conf import ConfigError
from worker.conf.check import checker

HEAD = (
    "[DEFAULT]\nenabled_backends = b1\ntransport_url = rabbit://h/?amqp_durable_queues=1\n"
    "[b1]\nvolume_driver = noop\n[tracing]\n"
)


def problems(path):
    return [(one.option, one.text) for one in checker.check([path])]


@pytest.mark.parametrize("endpoint", ["http://c:4318", "https://c/otlp/", "http://[::1]:4318"])
def test_an_address_is_accepted(write, endpoint):
    assert problems(write(f"{HEAD}enabled = true\nendpoint = {endpoint}\n")) == []


@pytest.mark.parametrize("endpoint", ["c:4318", "http://", "ftp://c", "http://c:99999", "c"])
def test_what_is_no_address_is_refused_only_where_traces_are_on(write, load, endpoint):
    text = f"endpoint = {endpoint}\n"
    refusal = ("endpoint", "is no address such as http://collector:4318")

    assert problems(write(HEAD + text)) == []
    assert problems(write(f"{HEAD}enabled = true\n{text}")) == [refusal]
    with pytest.raises(ConfigError, match="no address such as"):
        load(f"{HEAD}enabled = true\n{text}")


def test_a_missing_library_is_named_as_its_extra(write, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name.startswith("opentelemetry") else found(name, *rest),
    )
    text = "OpenTelemetry is not installed: pip install holdfast[{}]"

    assert problems(write(f"{HEAD}enabled = true\n")) == [("enabled", text.format("otel"))]
    grpc = write(f"{HEAD}enabled = true\nprotocol = grpc\n")
    assert problems(grpc) == [("enabled", text.format("otel-grpc"))]
    assert problems(write(HEAD)) == []


def test_a_missing_file_is_refused(write, tmp_path):
    path = tmp_path / "none.pem"
    text = write(f"{HEAD}enabled = true\nendpoint = https://c\nca_file = {path}\n")

    assert problems(text) == [("ca_file", f"there is no file {path}")]


def test_nothing_is_imported_where_traces_are_off(write, run_python):
    code = (
        "import sys; from worker.service import process, volume; import worker.conf;"
        "from worker.service.monitoring.monitored import Monitored;"
        f"conf = worker.conf.load(['--config-file', '{write(HEAD)}'], prog='holdfast-volume');"
        "Monitored.from_conf(conf, 'holdfast-volume', 1);"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )

    assert run_python(code) == "[]"


@pytest.fixture
def run_python():
    def run(code):
        first = "from worker.compat import native_threads; "
        return subprocess.run(
            [sys.executable, "-c", first + code], capture_output=True, text=True, check=True
        ).stdout.strip()

    return run
