# SPDX-License-Identifier: Apache-2.0
"""Notifications and requests to Nova, and its refusals."""

from __future__ import annotations

import importlib.util
import json
import logging
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from oslo_config import cfg

from drivers import http_answers
from drivers.compute import nova as module
from drivers.compute.nova import Nova
from drivers.interface.errors import ComputeError
from tests.servers.nova import EVENTS
from tests.servers.nova import Nova as Server

pytest.importorskip("keystoneauth1")

REQUEST = SimpleNamespace(request_id="req-5d5ad3a9-6f4f-4d9e-a8d9-6c4a1a7c3f11")
Make = Callable[[str], Nova]


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.close()


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def make(text: str) -> Nova:
        place = tmp_path / "cinder.conf"
        place.write_text(textwrap.dedent(text))
        conf = cfg.ConfigOpts()
        conf.register_opts(Nova.OPTS, group=Nova.GROUP)
        conf(["--config-file", str(place)], default_config_files=[])
        return Nova(conf)

    return make


@pytest.fixture
def nova(server: Server, make: Make) -> Nova:
    return make(f"[nova]\n{server.account}")


@pytest.mark.parametrize(
    ("call", "name", "version"),
    [
        ("volume_extended", "volume-extended", "2.51"),
        ("volume_reimaged", "volume-reimaged", "2.93"),
    ],
)
def test_each_instance_is_told(
    nova: Nova, server: Server, call: str, name: str, version: str
) -> None:
    getattr(nova, call)(REQUEST, "v1", ["i1", "i2"])

    wanted = [{"name": name, "server_uuid": one, "tag": "v1"} for one in ("i1", "i2")]
    assert server.told == wanted
    ((method, path, asked, headers),) = server.asked
    assert (method, path, asked) == ("POST", EVENTS, f"compute {version}")
    assert headers["X-OpenStack-Request-ID"] == REQUEST.request_id


def test_a_swap_is_asked_of_the_instance(nova: Nova, server: Server) -> None:
    swapped = []
    server.swaps = lambda *of: swapped.append(of)
    nova.swap_volume(REQUEST, "i1", "v1", "v2")

    assert swapped == [("i1", "v1", "v2")]
    assert server.asked[0][:2] == ("PUT", "/servers/i1/os-volume_attachments/v1")


def test_an_event_that_did_not_reach_its_instance_is_noted(
    nova: Nova, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    told = [{"server_uuid": "i1", "code": 200}, {"server_uuid": "i2", "code": 404}]
    server.answer = (207, json.dumps({"events": told}))
    nova.volume_extended(REQUEST, "v1", ["i1", "i2"])

    assert "'server_uuid': 'i2'" in caplog.text
    assert "i1" not in caplog.text


@pytest.mark.parametrize("status", [400, 403, 404, 500])
def test_a_refusal_is_told_with_its_text(nova: Nova, server: Server, status: int) -> None:
    server.answer = (status, '{"itemNotFound": {"message": "not like this"}}')

    with pytest.raises(ComputeError, match=f"{status}.*not like this"):
        nova.volume_extended(REQUEST, "v1", ["i1"])
    with pytest.raises(ComputeError, match=f"{status}.*not like this"):
        nova.swap_volume(REQUEST, "i1", "v1", "v2")


@pytest.mark.parametrize("body", ["", "rubbish", "[]", '{"events": 1}', '{"events": [1]}', "{}"])
def test_an_answer_that_makes_no_sense(nova: Nova, server: Server, body: str) -> None:
    server.answer = (200, body)

    with pytest.raises(ComputeError, match="not a list of events"):
        nova.volume_extended(REQUEST, "v1", ["i1"])


def test_nobody_answers(nova: Nova, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_RETRIES", 0)
    server.close()

    with pytest.raises(ComputeError, match="does not answer: ConnectFailure"):
        nova.volume_extended(REQUEST, "v1", ["i1"])


def test_a_server_that_is_back_in_time_is_told(nova: Nova, server: Server) -> None:
    server.answer, server.answers_later = (503, ""), 1
    nova.volume_extended(REQUEST, "v1", ["i1"])

    assert len(server.asked) == 2


def test_a_swap_that_may_have_arrived_is_not_asked_for_again(nova: Nova, server: Server) -> None:
    server.answer = (503, "")
    with pytest.raises(ComputeError, match="503"):
        nova.swap_volume(REQUEST, "i1", "v1", "v2")

    assert len(server.asked) == 1


def test_without_an_account_it_says_what_to_give(make: Make) -> None:
    with pytest.raises(ComputeError, match=r"\[nova\] auth_type"):
        make("").volume_extended(REQUEST, "v1", ["i1"])


def test_the_section_of_nova_goes_first(make: Make, server: Server) -> None:
    other = "auth_type = none\nendpoint = http://127.0.0.1:9\n"
    sections = ("keystone_authtoken", "service_user")
    text = "".join(f"[{section}]\n{other}" for section in sections)
    make(f"{text}[nova]\n{server.account}").volume_extended(REQUEST, "v1", ["i1"])

    assert len(server.told) == 1


@pytest.mark.parametrize("section", ["service_user", "keystone_authtoken"])
def test_another_account_serves_as_well(make: Make, server: Server, section: str) -> None:
    make(f"[{section}]\n{server.account}").volume_extended(REQUEST, "v1", ["i1"])

    assert len(server.told) == 1


def test_an_account_that_makes_no_sense(make: Make) -> None:
    with pytest.raises(ComputeError, match="no_such_plugin"):
        make("[nova]\nauth_type = no_such_plugin\n").volume_extended(REQUEST, "v1", ["i1"])


def test_the_library_may_be_missing(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)

    with pytest.raises(ComputeError, match=r"pip install 'holdfast\[nova\]'"):
        make("").check()


@pytest.mark.parametrize("status", [200, 500])
def test_an_answer_without_an_end_takes_little_memory(
    nova: Nova, server: Server, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    caplog.set_level(logging.DEBUG)  # at which keystoneauth would log the body
    server.answer = (status, " " * (http_answers.LONGEST + 2))

    with pytest.raises(ComputeError, match="it has more than 4194304 bytes"):
        nova.volume_extended(REQUEST, "v1", ["i1"])
    assert all(len(text) < 2000 for text in caplog.messages)
