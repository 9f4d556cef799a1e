# SPDX-License-Identifier: Apache-2.0
"""Names: hosts taken apart and put together, and where messages go (spec/service §1, §2)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.errors import InvalidVolume
from tests.unit.rpc.samples import SAMPLES, primitives
from worker.rpc import topics
from worker.rpc.topics import extract_host

NAMES = st.text(st.characters(exclude_characters="@#"), min_size=1)


@given(NAMES, NAMES, NAMES)
def test_what_was_put_together_comes_apart(node, backend, pool):
    host = topics.append_pool(topics.join(node, backend), pool)

    assert extract_host(host, "host") == node
    assert extract_host(host, "backend") == extract_host(host) == f"{node}@{backend}"
    assert extract_host(host, "pool") == pool
    assert topics.append_pool(host, "other") == host
    assert topics.same_backend(host, f"{node}@{backend}#another")
    assert not topics.same_backend(host, f"{node}@{backend}x#{pool}")


@given(st.text(min_size=1))
def test_any_text_has_parts_that_do_not_grow(text):
    backend, host, pool = (extract_host(text, level) for level in ("backend", "host", "pool"))

    assert text.startswith(backend)
    assert backend.startswith(host)
    assert "#" not in backend
    assert "@" not in host
    assert (pool is not None) == (text.count("#") == 1)
    assert pool is None or text == f"{backend}#{pool}"


@pytest.mark.parametrize(
    ("text", "host", "backend", "pool"),
    [
        ("node@lvm#gold", "node", "node@lvm", "gold"),
        ("node@lvm", "node", "node@lvm", None),
        ("node", "node", "node", None),
        ("node#gold", "node", "node", "gold"),
        ("node@lvm#gold#old", "node", "node@lvm", None),
        ("node@lvm#gold@x", "node", "node@lvm", "gold@x"),
        ("node@lvm#", "node", "node@lvm", ""),
        ("a@b@c#d", "a", "a@b@c", "d"),
    ],
)
def test_parts(text, host, backend, pool):
    assert extract_host(text, "host") == host
    assert extract_host(text, "backend") == backend
    assert extract_host(text, "pool") == pool


@pytest.mark.parametrize("level", ["host", "backend", "pool"])
@pytest.mark.parametrize("nothing", [None, ""])
def test_a_resource_without_host_is_an_error(nothing, level):
    with pytest.raises(InvalidVolume, match="not scheduled"):
        extract_host(nothing, level)


def test_capacity_is_counted_on_the_pool_or_what_stands_for_it():
    assert topics.pool_of("node@lvm#gold", "name") == "gold"
    assert topics.pool_of("node@lvm", "name") == "name"
    assert topics.pool_of("node@lvm") == "_pool0"


def test_a_cluster_goes_before_a_host():
    assert topics.address({"cluster_name": "c@lvm", "host": "node@lvm#gold"}) == "c@lvm"
    assert topics.address({"cluster_name": None, "host": "node@lvm#gold"}) == "node@lvm#gold"
    with pytest.raises(InvalidVolume, match="v1"):
        topics.address({"id": "v1", "host": None})


def queues(target):
    """Return the names of the queues on which a server with a target is reached."""
    return [target.topic, f"{target.topic}.{target.server}"]


def test_a_backend_listens_where_cinder_volume_does():
    shared, own = topics.volume_targets("peerhost", "noop", None)

    assert queues(shared) == ["cinder-volume", "cinder-volume.peerhost@noop"]
    assert queues(own) == ["cinder-volume.peerhost@noop", "cinder-volume.peerhost@noop.peerhost"]
    assert topics.fanout_exchange(shared.topic) == "cinder-volume_fanout"
    assert topics.fanout_exchange(own.topic) == "cinder-volume.peerhost@noop_fanout"


def test_a_cluster_is_one_more_server():
    *own, shared = topics.volume_targets("peerhost", "noop", "c1")

    assert own == topics.volume_targets("peerhost", "noop", "")
    assert queues(shared) == ["cinder-volume.c1@noop", "cinder-volume.c1@noop.c1"]


@pytest.mark.parametrize(
    "sample",
    [s for s in SAMPLES if s.service == "cinder-volume" and "fanout" not in s.routing_key],
    ids=str,
)
def test_a_message_about_a_resource_goes_where_cinder_sends_it(sample):
    # A migration casts to its destination about the new volume.
    name = "new_volume" if sample.method == "update_migrated_volume" else "volume"
    for volume in primitives(sample.message["args"].get(name), "Volume"):
        host = volume["versioned_object.data"]["host"]
        target = topics.volume_target(host, "3.0")

        assert queues(target)[1] == sample.routing_key
