# SPDX-License-Identifier: Apache-2.0
"""Names in configuration files, and the known names."""

from __future__ import annotations

from collections.abc import Sequence

from oslo_config import cfg

from drivers.compat import oslo_config
from worker.conf.check.config_files import ConfigEntry, ConfigFiles
from worker.conf.cinder import unrelated
from worker.conf.option_groups import backend

OF_BACKENDS = "of backends"
"""The key under which options of every backend are listed."""

KEYSTONES = frozenset({"barbican", "barbican_service_user", "glance", "nova", "service_user"})
"""Sections that are read when they are needed, most of them by keystoneauth."""


def effective(entries: Sequence[ConfigEntry]) -> list[ConfigEntry]:
    """Return the last assignment of each option, and the first head of each section."""
    last: dict[tuple[str, str | None], ConfigEntry] = {}
    for entry in entries:
        place = (entry.section.lower(), entry.option)
        if entry.option is None and place in last:
            continue
        last.pop(place, None)
        last[place] = entry
    return list(last.values())


def known(conf: cfg.ConfigOpts) -> dict[str, set[str]]:
    """Return the names that are registered, by section, as a file may write them."""
    found: dict[str, set[str]] = {OF_BACKENDS: {option.dest for option in backend.OPTS}}
    for section, option in oslo_config.registered(conf):
        found.setdefault(section.lower(), set()).update((option.dest, option.name))
        for old in option.deprecated_opts:
            name = old.name or option.dest
            names = found.setdefault((old.group or section).lower(), set())
            names.update((name, name.replace("-", "_")))
    for section in KEYSTONES:
        found.setdefault(section, set())
    return found


def drivers(found: ConfigFiles) -> dict[str, str]:
    """Return the driver of each section that names one."""
    named = [entry for entry in found.entries if entry.option == "volume_driver"]
    return {entry.section.lower(): entry.value.strip() for entry in named}


def sections(found: ConfigFiles) -> dict[str, str]:
    """Return the sections whose names stand in options: fabrics, accounts."""
    named: dict[str, str] = {}
    for entry in found.entries:
        if entry.option == "fc_fabric_names":
            named |= {name.strip().lower(): unrelated.DRIVERS for name in entry.value.split(",")}
        elif entry.option == "auth_section":
            named[entry.value.strip().lower()] = unrelated.API
    return named
