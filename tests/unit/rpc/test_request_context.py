# SPDX-License-Identifier: Apache-2.0
"""The request context: nothing that came is lost onward, no secret is stored or shown."""

from __future__ import annotations

import datetime
import json
import logging

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from oslo_config import cfg
from oslo_context import context as oslo_context
from oslo_log import formatters, log

from tests.unit.rpc.samples import SAMPLES, of
from worker.rpc.request_context import ContextSerializer, RequestContext

ALICE = {
    "user_id": "alice",
    "project_id": "blue",
    "roles": ["member"],
    "request_id": "req-1",
    "global_request_id": "req-0",
    "is_admin": False,
    "read_deleted": "yes",
    "auth_token": "hush-1",
    "service_catalog": [{"url": "hush-2"}],
}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inside: st.lists(inside) | st.dictionaries(st.text(), inside),
    max_leaves=5,
)


@pytest.fixture(autouse=True)
def _no_context_left():
    yield
    assert oslo_context.get_current() is None


@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_every_key_that_came_goes_onward(sample):
    assert RequestContext.from_wire(sample.context).to_wire() == sample.context


def test_who_asked_is_known():
    request = RequestContext.from_wire(ALICE)

    assert (request.user_id, request.project_id, request.roles) == ("alice", "blue", ["member"])
    assert (request.request_id, request.global_request_id) == ("req-1", "req-0")
    assert request.is_admin is False
    assert request.read_deleted == "yes"


def test_the_older_names_of_user_and_project_are_known():
    request = RequestContext.from_wire({"user": "alice", "project": "blue"})

    assert (request.user_id, request.project_id) == ("alice", "blue")


def test_unknown_keys_go_onward_and_into_the_journal():
    request = RequestContext.from_wire({**ALICE, "novelty": 7})
    stored = json.loads(json.dumps(request.to_journal()))

    assert request.to_wire()["novelty"] == 7
    assert RequestContext.from_journal(stored).to_wire()["novelty"] == 7


def test_a_request_without_an_id_gets_one_and_keeps_it():
    request = RequestContext.from_wire({"user_id": "alice"})

    assert request.request_id.startswith("req-")
    assert RequestContext.from_journal(request.to_journal()).request_id == request.request_id
    assert request.elevated().request_id == request.request_id


def test_what_the_bus_adds_does_not_go_onward():
    request = RequestContext.from_wire({**ALICE, "reply_q": "q", "msg_id": "m"})

    assert not {"reply_q", "msg_id"} & request.to_wire().keys()


def test_the_token_goes_onward_but_not_into_the_journal():
    request = RequestContext.from_wire(
        {**ALICE, "X_Subject_Token": "hush-3", "password": "hush-4", "novelty": {"k": "hush-5"}}
    )

    assert request.to_wire()["auth_token"] == "hush-1"
    assert request.elevated().to_wire()["auth_token"] == "hush-1"
    assert "hush" not in json.dumps(request.to_journal())
    assert request.to_journal()["user_id"] == "alice"


def test_the_token_is_not_shown_to_unknown_listeners():
    request = RequestContext.from_wire(ALICE)

    assert "hush" not in json.dumps(request.redacted_copy().to_wire())
    assert request.redacted_copy().to_wire()["request_id"] == "req-1"
    assert "hush" not in repr(request)
    assert ContextSerializer().serialize_context(request)["auth_token"] == "hush-1"


@pytest.mark.parametrize("sample", [of("create_volume"), of("delete_volume")], ids=str)
def test_a_resumed_request_differs_only_in_its_secrets(sample):
    stored = json.dumps(RequestContext.from_wire(sample.context).to_journal())
    again = RequestContext.from_journal(json.loads(stored)).to_wire()

    assert {k for k in again if again[k] != sample.context[k]} == {"auth_token"}


def test_elevated_is_the_same_user_with_more_rights():
    request = RequestContext.from_wire(ALICE)
    more = request.elevated()

    assert (more.user_id, more.project_id, more.is_admin) == ("alice", "blue", True)
    assert more.roles == ["member", "admin"] == more.to_wire()["roles"]
    assert more.elevated().roles == ["member", "admin"]
    assert (request.is_admin, request.roles) == (False, ["member"])


def test_the_service_has_every_key_that_cinder_expects():
    assert RequestContext.admin().to_wire().keys() == of("create_volume").context.keys()
    assert RequestContext.admin().is_admin


def test_a_new_request_has_the_time_of_its_message():
    sent = datetime.datetime.fromisoformat(RequestContext.admin().to_wire()["timestamp"])

    assert abs(datetime.datetime.now(datetime.UTC) - sent) < datetime.timedelta(minutes=1)


@given(st.dictionaries(st.text() | st.sampled_from(sorted(ALICE)), JSON), st.lists(JSON))
@example({}, ["member", 7, None, ["admin"]])
def test_no_context_is_so_strange_that_a_message_cannot_be_read(wire, roles):
    request = RequestContext.from_wire({"roles": roles} | wire)

    assert all(isinstance(role, str) for role in request.roles)
    assert isinstance(request.request_id, str)
    json.dumps([request.to_wire(), request.to_journal(), request.elevated().to_journal()])
    request.get_logging_values()


class TestBound:
    """The content of an operation's log lines."""

    @pytest.fixture
    def line(self):
        conf = cfg.ConfigOpts()
        log.register_options(conf)
        conf([], project="test", default_config_files=[])
        formatter = formatters.ContextFormatter(config=conf)

        def line(text="hello"):
            record = logging.LogRecord("worker", logging.INFO, "f", 1, text, (), None)
            return formatter.format(record)

        return line

    def test_every_line_has_the_request_and_the_resource(self, line):
        with RequestContext.from_wire(ALICE).bound(resource_id="vol-1"):
            text = line()

        assert "req-1" in text
        assert "req-0" in text
        assert "alice blue" in text
        assert "vol-1" in text
        assert "hush" not in text

    def test_no_line_afterwards_has_it(self, line):
        with pytest.raises(KeyError), RequestContext.from_wire(ALICE).bound("vol-1"):
            raise KeyError

        assert "req-1" not in line()
        assert "vol-1" not in line()

    def test_an_inner_resource_stands_for_its_own_lines_only(self, line):
        request = RequestContext.from_wire(ALICE)
        with request.bound("vol-1"):
            with request.bound("snap-1"):
                assert "snap-1" in line()
            assert "vol-1" in line()

    def test_the_resource_does_not_travel_with_onward_messages(self):
        request = RequestContext.from_wire(ALICE)
        with request.bound("vol-1"):
            assert request.to_wire()["resource_uuid"] is None
