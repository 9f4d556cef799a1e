# SPDX-License-Identifier: Apache-2.0
"""The options of an installed Cinder: names, sections, kinds, defaults, old names.

``python tests/cinder/options.py > worker/conf/cinder/options.json`` writes the table anew; it
is a program of its own, as Cinder patches the whole process. One option is one line, so that
a new release is read as a difference.
"""

from __future__ import annotations

import importlib.machinery
import json
import os
import sys
import warnings
from collections.abc import Iterable, Iterator
from importlib import metadata
from typing import Any
from unittest import mock

out = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # whatever Cinder prints is no answer
warnings.simplefilter("ignore")

# Backup drivers whose libraries are not installed still list their options.
_ABSENT = ("google", "googleapiclient", "oauth2client", "google_auth_httplib2", "httplib2")

_KINDS = {
    "Boolean": "bool",
    "Integer": "int",
    "Port": "int",
    "Float": "float",
    "List": "list",
    "Dict": "dict",
    "MultiString": "multi",
}

# Whose options stand in a sample of Cinder's, besides Cinder's own.
_LIBRARIES = (
    *("castellan.config", "keystonemiddleware.auth_token", "osprofiler", "os_brick"),
    *("oslo.concurrency", "oslo.db", "oslo.log", "oslo.messaging", "oslo.middleware"),
    *("oslo.policy", "oslo.privsep", "oslo.reports", "oslo.service.periodic_task"),
    *("oslo.service.service", "oslo.service.sslutils", "oslo.service.wsgi"),
    "oslo.versionedobjects",
)

_OF_THE_MACHINE = ("host", "my_ip")

Table = dict[str, dict[str, Any]]


class Absent:
    """Finds modules that are not installed."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        if name.partition(".")[0] in _ABSENT:
            return importlib.machinery.ModuleSpec(name, self, is_package=True)  # type: ignore[arg-type]
        return None

    def create_module(self, spec: Any) -> Any:
        return mock.MagicMock(__path__=[], __spec__=spec)

    def exec_module(self, module: Any) -> None:
        """Nothing is in it."""


def main() -> None:
    """Print the table."""
    sys.meta_path.append(Absent())  # type: ignore[arg-type]
    from cinder import opts

    cinder = opts.list_opts()
    drivers = _of("cinder.volume.drivers.", "cinder.volume.driver", "cinder.volume.targets.")
    base = _of("cinder.volume.driver", "cinder.volume.manager", alone=True)
    own: Table = {}
    for section, option in _flat(cinder):
        facts = _facts(option)
        if section == "DEFAULT" and id(option) in drivers:
            facts["driver"] = True
        if id(option) in base and section != "DEFAULT":
            facts["base"] = True
        own.setdefault(section, {})[option.dest] = facts
    found = {
        "release": metadata.version("cinder"),
        "options": {name: dict(sorted(own[name].items())) for name in sorted(own)},
        "libraries": _libraries(),
    }
    out.write(_lines(found))
    out.flush()
    # Threads of libraries would wait for one another at an orderly end.
    os._exit(0)


def _flat(groups: Iterable[tuple[Any, Iterable[Any]]]) -> Iterator[tuple[str, Any]]:
    for group, options in groups:
        for option in options:
            yield getattr(group, "name", group) or "DEFAULT", option


def _of(*places: str, alone: bool = False) -> set[int]:
    """Return the options that stand in modules of these names, or below them, by identity."""
    found: set[int] = set()
    for name, module in list(sys.modules.items()):
        if name in places if alone else name.startswith(places):
            lists = [value for value in vars(module).values() if isinstance(value, (list, tuple))]
            found |= {id(item) for value in lists for item in value}
    return found


def _facts(option: Any) -> dict[str, Any]:
    kind = _KINDS.get(type(option.type).__name__, "str")
    default = None if option.dest in _OF_THE_MACHINE else option.default
    facts: dict[str, Any] = {"kind": "multi" if option.multi else kind, "default": default}
    old = sorted({name for name in (old.name for old in option.deprecated_opts) if name})
    if old:
        facts["old"] = old
    return facts


def _libraries() -> dict[str, list[str]]:
    found: dict[str, set[str]] = {}
    points = {p.name: p for p in metadata.entry_points(group="oslo.config.opts")}
    for name in _LIBRARIES:
        for section, option in _flat(points[name].load()()):
            names = found.setdefault(section, set())
            names |= {option.dest, *(old.name for old in option.deprecated_opts if old.name)}
    return {name: sorted(found[name]) for name in sorted(found)}


def _lines(found: dict[str, Any]) -> str:
    """Write it as JSON, an option on each line."""
    lines = ["{", f' "release": {json.dumps(found["release"])},', ' "options": {']
    for section, options in found["options"].items():
        lines.append(f"  {json.dumps(section)}: {{")
        for name, facts in options.items():
            lines.append(f"   {json.dumps(name)}: {json.dumps(facts, default=str)},")
        lines[-1] = lines[-1].removesuffix(",")
        lines.append("  },")
    lines[-1] = "  }"
    lines += [" },", ' "libraries": {']
    for section, names in found["libraries"].items():
        lines.append(f"  {json.dumps(section)}: {json.dumps(names)},")
    lines[-1] = lines[-1].removesuffix(",")
    return "\n".join([*lines, " }", "}", ""])


if __name__ == "__main__":
    main()
