# SPDX-License-Identifier: Apache-2.0
"""A private network on one machine: namespaces with addresses, and a bridge between them.

Each namespace drops packets by rules of its own, so any two of them can be cut from each
other, in both directions or in one. Root alone can make one.
"""

from __future__ import annotations

import enum
import os
import random
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Collection
from pathlib import Path

from tests.servers.place import NAMESPACES, Place
from tests.servers.server import find

_RULES = """\
table ip holdfast {
    set from { type ipv4_addr; }
    set to { type ipv4_addr; }
    chain in { type filter hook input priority 0; ip saddr @from drop; }
    chain out { type filter hook output priority 0; ip daddr @to drop; }
}
"""


class Direction(enum.Enum):
    """Which packets of a namespace are dropped; the values are the sets of its rules."""

    BOTH = ("from", "to")
    INTO = ("from",)
    OUT_OF = ("to",)


def missing() -> str:
    """Return why this machine cannot make namespaces, empty where it can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    absent = [program for program in ("ip", "nft") if find(program) is None]
    if absent:
        return f"not installed: {', '.join(absent)}"
    name = f"hf{os.getpid()}-probe"
    done = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True)
    if done.returncode:
        return f"network namespaces are not allowed: {done.stderr.strip()}"
    try:
        done = subprocess.run(
            ["ip", "netns", "exec", name, "nft", "list", "tables"], capture_output=True, text=True
        )
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)
    return f"nftables are not allowed: {done.stderr.strip()}" if done.returncode else ""


def _unused(choose: Callable[[], str], is_used: Callable[[str], bool]) -> str:
    """Return a name that no other run on this machine uses."""
    while is_used(name := choose()):
        pass
    return name


def _is_link(name: str) -> bool:
    return Path("/sys/class/net", name).exists()


def _has_route(subnet: str) -> bool:
    command = [find("ip") or "ip", "-4", "route", "show", f"{subnet}.0/24"]
    return bool(subprocess.run(command, capture_output=True, text=True).stdout.strip())


class Namespace:
    """A network namespace with one address.

    :param run: runs a command as root.
    """

    def __init__(self, place: Place, run: Callable[..., None]) -> None:
        assert place.namespace is not None
        self.place = place
        self._name: str = place.namespace
        self._run = run
        self._cuts: Counter[tuple[str, str]] = Counter()

    def cut(self, addresses: Collection[str], direction: Direction = Direction.BOTH) -> None:
        """Drop the packets of some addresses, until :meth:`mend` is called as often."""
        self._change("add", addresses, direction)

    def mend(self, addresses: Collection[str], direction: Direction = Direction.BOTH) -> None:
        """Take back one cut."""
        self._change("delete", addresses, direction)

    def _change(self, verb: str, addresses: Collection[str], direction: Direction) -> None:
        """Add addresses that no cut has yet, or delete those that no cut has any more."""
        commands = []
        for name in direction.value:
            for address in addresses:
                before = self._cuts[name, address]
                self._cuts[name, address] = after = before + (1 if verb == "add" else -1)
                assert after >= 0, f"{address} was not cut"
                if not before or not after:
                    commands.append(f"{verb} element ip holdfast {name} {{ {address} }}")
        if commands:
            self._run("ip", "netns", "exec", self._name, "nft", "; ".join(commands))


class Network:
    """A bridge with namespaces; they are gone at the end, also when this process is killed."""

    def __init__(self) -> None:
        self._tag = _unused(lambda: f"hf{random.randrange(16**5):05x}", _is_link)
        self._subnet = _unused(
            lambda: f"10.{random.randrange(64, 250)}.{random.randrange(256)}", _has_route
        )
        self._count = 0
        self.namespaces: dict[str, Namespace] = {}
        self._watcher = subprocess.Popen(
            ["/bin/sh", "-c", _REMOVAL, "watcher", self._tag, str(NAMESPACES)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._run("ip", "link", "add", self._tag, "type", "bridge")
        self._run("ip", "addr", "add", f"{self._subnet}.254/24", "dev", self._tag)
        self._run("ip", "link", "set", self._tag, "up")

    @property
    def outside(self) -> str:
        """The address of the test run itself."""
        return f"{self._subnet}.254"

    def namespace(self, name: str) -> Namespace:
        """Return the namespace of a name, which is made at first."""
        if name not in self.namespaces:
            self._count += 1
            self.namespaces[name] = self._make(f"{self._tag}-{name}", self._count)
        return self.namespaces[name]

    def addresses(self) -> dict[str, str]:
        """Return the address of each namespace."""
        return {name: one.place.address for name, one in self.namespaces.items()}

    def close(self) -> None:
        """Remove all."""
        self._watcher.communicate(timeout=60)

    def _make(self, name: str, number: int) -> Namespace:
        place = Place(f"{self._subnet}.{number}", name)
        inside = ("ip", "-n", name)
        ours = f"{self._tag}v{number}"
        self._run("ip", "netns", "add", name)
        self._run("ip", "link", "add", ours, "type", "veth", "peer", "name", "eth0", "netns", name)
        self._run("ip", "link", "set", ours, "master", self._tag, "up")
        self._run(*inside, "addr", "add", f"{place.address}/24", "dev", "eth0")
        self._run(*inside, "link", "set", "eth0", "up")
        self._run(*inside, "link", "set", "lo", "up")
        self._run("ip", "netns", "exec", name, "nft", _RULES)
        return Namespace(place, self._run)

    @staticmethod
    def _run(*argv: str) -> None:
        program = find(argv[0]) or argv[0]
        done = subprocess.run([program, *argv[1:]], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{' '.join(argv)}: {done.stderr.strip() or done.stdout.strip()}")


_REMOVAL = """\
read -r _
for name in "$2/$1"-*; do ip netns del "${name##*/}"; done
ip link del "$1"
"""
"""Waits for the end of the test run, or for its word, and removes what it made."""


def is_possible() -> bool:
    """Return whether this machine can make a network."""
    return not missing() and shutil.which("ip") is not None
