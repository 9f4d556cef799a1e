# SPDX-License-Identifier: Apache-2.0
"""The export driver under test, and the files that it serves."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from oslo_config import cfg

from ..checks import leaks
from ..checks.first_set_up import set_up
from ..devices import PROTOCOLS, Device
from ..loading import attribute, load
from ..places import require_programs

_SHORT = tempfile.gettempdir()
MIB = 1024**2


class Exports:
    """Makes drivers, each as of another process, and files."""

    def __init__(
        self,
        case: Any,
        make: Callable[[], Any],
        place: Path,
        opener: Any,
        values: Mapping[str, Any],
    ) -> None:
        self.case = case
        self._make = make
        self.place = place
        self._opener = opener
        self.values = values
        self._names: list[str] = []
        self.driver = self.made()

    def made(self) -> Any:
        """Return another instance."""
        made = self._make()
        made.check()
        return made

    def file(self, name: str, size: int = MIB) -> str:
        """Return the path of a file with data, which is served under its name."""
        path = self.place / name
        with path.open("wb") as file:
            file.write(name.encode())
            file.truncate(size)
        self._names.append(name)
        return str(path)

    def open(self, where: Mapping[str, Any]) -> Device:
        """Return the device behind the address of an export."""
        opener = self._opener or PROTOCOLS.get(self.driver.protocol)
        if opener is None:
            pytest.skip(f"no way to read a volume over {self.driver.protocol}: give --device")
        return opener({"driver_volume_type": self.driver.protocol, "data": dict(where)})

    def served(self, name: str, who: str = "one", **more: Any) -> Device:
        """Serve a file and connect a consumer."""
        path = self.file(name)
        self.driver.ensure(name, path, **more)
        return self.open(self.driver.connect(name, who, **more))

    def inventory(self) -> set[str]:
        """Return everything that may be left behind."""
        places = leaks.directories({name: str(one) for name, one in self.values.items()})
        return leaks.processes() | leaks.files(places, self.case.ignored)

    def clear(self) -> None:
        """Stop serving everything."""
        for name in self._names:
            self.driver.remove(name)


@pytest.fixture
def exports(
    request: pytest.FixtureRequest, export_case: Any, tmp_path: Path, scratch: Path
) -> Iterator[Exports]:
    require_programs(*export_case.programs)
    kind = export_case.driver
    kind = load(kind, "export") if isinstance(kind, str) else kind
    conf = cfg.ConfigOpts()
    options = getattr(kind, "OPTS", [])
    conf.register_opts(options, group="conformance")
    with contextlib.ExitStack() as stack:
        # A short path: a socket's may have 107 bytes.
        state = stack.enter_context(tempfile.TemporaryDirectory(prefix="hfe-", dir=_SHORT))
        conf.register_opts([cfg.StrOpt("state_path", default=state)])
        for name, value in export_case.options.items():
            if options:
                conf.set_override(name, value, group="conformance")
        values = {option.dest: conf["conformance"][option.dest] for option in options}
        values = {**dict(export_case.options), **values, "state_path": state}
        configuration = SimpleNamespace(**values, safe_get=values.get)
        found = request.config.getoption("device")
        opener = attribute(found) if found else None
        made = set_up(
            request,
            lambda: Exports(export_case, lambda: kind(configuration), tmp_path, opener, values),
        )
        before = made.inventory()
        yield made
        made.clear()
        left = {one for one in made.inventory() - before if not one.endswith(".lock")}
        assert left == set(), "left behind"
        assert os.listdir(scratch) == [], "temporary files left behind"
