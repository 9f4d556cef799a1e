# SPDX-License-Identifier: Apache-2.0
"""The options of Cinder, as it lists them itself; ``python tests/cinder/options.py`` makes them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from typing import Any

from oslo_config import types

BACKEND = "backend_defaults"
"""The section under which options of backends are listed; a backend's own has the same."""


@dataclass(frozen=True)
class Option:
    """One option of Cinder.

    :param kind: bool, int, float, list, dict, multi or str.
    :param default: as JSON; None also where it depends on the machine.
    :param old: names that it had before, and still has.
    :param driver: it stands in [DEFAULT], but drivers read it from their backend's section.
    :param base: it is of every backend, whatever its driver.
    """

    name: str
    kind: str
    default: Any
    old: tuple[str, ...] = ()
    driver: bool = False
    base: bool = False

    def is_default(self, text: str) -> bool:
        """Return whether a value, as it is written in a file, is the default."""
        text = text.strip()
        if self.default is None:
            return not text
        try:
            return bool(_READ.get(self.kind, str)(text) == self.default)
        except ValueError:
            return False


class Table:
    """All of them, by section and name."""

    def __init__(self) -> None:
        text = resources.files(__package__).joinpath("options.json").read_text(encoding="utf-8")
        facts = json.loads(text)
        self.release: str = facts["release"]
        self.sections = {
            section: {name: _option(name, known) for name, known in options.items()}
            for section, options in facts["options"].items()
        }
        self.libraries = {name: frozenset(names) for name, names in facts["libraries"].items()}
        service, backend = self.sections["DEFAULT"], self.sections[BACKEND]
        for name in [name for name, option in service.items() if option.driver]:
            backend.setdefault(name, service[name])
        backend.update(self.sections.pop("backend"))
        self._renamed = {
            section: {old: option for option in options.values() for old in option.old}
            for section, options in self.sections.items()
        }

    def find(self, section: str, name: str) -> Option | None:
        """Return an option by its name or a former one; None where Cinder has none."""
        options = self.sections.get(section, {})
        name = name.replace("-", "_")
        return options.get(name) or self._renamed.get(section, {}).get(name)


def _option(name: str, facts: dict[str, Any]) -> Option:
    old = tuple(former.replace("-", "_") for former in facts.get("old", ()))
    flags = {flag: facts.get(flag, False) for flag in ("driver", "base")}
    return Option(name, facts["kind"], facts["default"], old, **flags)


_READ: dict[str, Callable[[str], Any]] = {
    "bool": types.Boolean(),
    "int": int,
    "float": float,
    "list": types.List(),
    "dict": types.Dict(),
}
