# SPDX-License-Identifier: Apache-2.0
"""The network between hosts: addresses, cuts in both directions or one, and nothing left."""

from __future__ import annotations

import contextlib
import errno
import random
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers.place import NAMESPACES, within
from tests.servers.several.network import Direction, Namespace, Network


def reaches(one: Namespace, other: Namespace) -> bool:
    """Return whether a packet gets from one namespace to another, and its answer back."""
    connect = f"s.connect_ex(({other.place.address!r}, 9))"  # a closed port refuses at once
    script = f"import socket; s = socket.socket(); s.settimeout(1); print({connect})"
    argv = within(one.place.namespace, [sys.executable, "-c", script])
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    return int(done.stdout) == errno.ECONNREFUSED


@pytest.fixture
def pair(network: Network) -> tuple[Namespace, Namespace]:
    return network.namespace("left"), network.namespace("right")


def test_namespaces_have_addresses_and_reach_each_other(pair, network: Network):
    left, right = pair

    assert left.place.address != right.place.address
    assert network.addresses()["left"] == left.place.address
    assert reaches(left, right)


@pytest.mark.parametrize("direction", Direction)
def test_cut_and_mended(pair, direction: Direction):
    left, right = pair
    left.cut([right.place.address], direction)
    try:
        assert not reaches(left, right)
    finally:
        left.mend([right.place.address], direction)

    assert reaches(left, right)


def test_one_way_cut_lets_the_other_way_through(pair, network: Network, tmp_path: Path):
    left, right = pair
    received = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    received.bind((network.outside, 0))
    received.settimeout(5)
    left.cut([network.outside], Direction.INTO)
    try:
        send = f"import socket; socket.socket(2, 2).sendto(b'x', {received.getsockname()!r})"
        argv = within(left.place.namespace, [sys.executable, "-c", send])
        subprocess.run(argv, check=True)

        assert received.recv(1) == b"x"
    finally:
        left.mend([network.outside], Direction.INTO)
        received.close()


def test_two_cuts_of_one_address_are_mended_one_after_the_other(pair):
    left, right = pair
    left.cut([right.place.address])
    left.cut([right.place.address], Direction.OUT_OF)
    left.mend([right.place.address])

    assert not reaches(left, right)
    left.mend([right.place.address], Direction.OUT_OF)
    assert reaches(left, right)


def test_two_at_once_have_nothing_in_common(rights: None, monkeypatch):
    choose, chosen = random.randrange, {}

    def noted(*bounds: int) -> int:
        chosen[bounds] = choose(*bounds)
        return chosen[bounds]

    def first_the_same(*bounds: int) -> int:
        return chosen.pop(bounds) if bounds in chosen else choose(*bounds)

    monkeypatch.setattr(random, "randrange", noted)
    with contextlib.closing(Network()) as one:
        monkeypatch.setattr(random, "randrange", first_the_same)
        with contextlib.closing(Network()) as other:
            assert chosen == {}
            assert one.outside != other.outside
            assert reaches(one.namespace("a"), one.namespace("b"))


def test_nothing_is_left_at_the_end(rights: None):
    with contextlib.closing(Network()) as network:
        name = str(network.namespace("one").place.namespace)
        assert (NAMESPACES / name).exists()
        links = subprocess.run(["ip", "-br", "link"], capture_output=True, text=True).stdout
        bridge = name.partition("-")[0]
        assert bridge in links

    assert not (NAMESPACES / name).exists()
    assert (
        bridge not in subprocess.run(["ip", "-br", "link"], capture_output=True, text=True).stdout
    )
