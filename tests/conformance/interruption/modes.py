# SPDX-License-Identifier: Apache-2.0
"""Three ways to run each test: as it is, with kills within calls, and with other calls at once."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any

from drivers.interface.volume import VolumeDriver

from .companion import Companion
from .interleave import interleaved
from .kill import killed
from .points import sources


class Mode(StrEnum):
    """How the calls of a test that change something are made.

    PLAIN: once. KILLED: a process is killed within the call; another one repeats it.
    AT_ONCE: suspended within, while another thread works with other volumes.
    """

    PLAIN = "plain"
    KILLED = "killed"
    AT_ONCE = "at once"


CHANGING = {
    *("create_volume", "delete_volume", "extend_volume", "create_snapshot", "delete_snapshot"),
    *("create_volume_from_snapshot", "create_cloned_volume", "revert_to_snapshot"),
    *("create_export", "remove_export", "initialize_connection", "terminate_connection"),
    *("manage_existing", "manage_existing_snapshot", "unmanage", "unmanage_snapshot"),
    *("create_consistencygroup", "create_consistencygroup_from_src", "delete_consistencygroup"),
    *("update_consistencygroup", "create_cgsnapshot", "delete_cgsnapshot", "retype"),
    *("create_group", "create_group_from_src", "delete_group", "update_group"),
    *("create_group_snapshot", "delete_group_snapshot", "accept_transfer", "ensure_export"),
}
"""Methods of which calls are killed, and meet others."""

_GOLDEN = 0.618
_FIRST_GUESS = 8

_turns: dict[tuple[type, str], Any] = defaultdict(itertools.count)
_counts: dict[tuple[type, str], int] = {}


class Live:
    """The driver that answers now: after a kill it is another one."""

    def __init__(self, driver: VolumeDriver) -> None:
        self.driver = driver
        names = [name for name in dir(driver) if not name.startswith("_")]
        self.methods = {name: getattr(driver, name) for name in names}
        self.methods = {name: one for name, one in self.methods.items() if callable(one)}

    def method(self, name: str) -> Callable[..., Any]:
        """Return a method of it."""
        return self.methods[name]

    def replace(self, driver: VolumeDriver) -> None:
        """Continue with another one."""
        self.driver = driver
        self.methods = {name: getattr(driver, name) for name in self.methods}


class Applied:
    """A mode, applied to the calls of one test.

    :param made: returns a driver that is set up.
    """

    def __init__(
        self, mode: str, driver_class: type[VolumeDriver], made: Callable[[], VolumeDriver]
    ) -> None:
        self.name = mode
        self.has_killed = False
        self._class = driver_class
        self._made = made

    def call(self, live: Live, name: str, arguments: Sequence[Any], more: Mapping[str, Any]) -> Any:
        """Make a call of the test."""
        if self.name == Mode.PLAIN or name not in CHANGING:
            return live.method(name)(*arguments, **more)
        if self.name == Mode.KILLED:
            self.kill(live, name, arguments, more)
            return live.method(name)(*arguments, **more)
        companion = Companion(live)
        answer, _ = interleaved(
            lambda: live.method(name)(*arguments, **more),
            companion.work,
            sources(self._class),
            self._turn(name),
        )
        return answer

    def kill(
        self, live: Live, name: str, arguments: Sequence[Any], more: Mapping[str, Any]
    ) -> None:
        """Have another process make the call and be killed within it; then restart."""

        def prepare() -> Callable[[], Any]:
            method = getattr(self._made(), name)
            return lambda: method(*arguments, **more)

        count = killed(prepare, sources(self._class), self._turn(name))
        if count is not None:
            _counts[self._class, name] = count
        self.has_killed = True
        live.replace(self._made())

    def _turn(self, name: str) -> int:
        """Return the next point, so that many calls of a method meet all of its points."""
        turn = next(_turns[self._class, name])
        fraction = (turn * _GOLDEN + 0.5) % 1
        return int(fraction * _counts.get((self._class, name), _FIRST_GUESS))
