# SPDX-License-Identifier: Apache-2.0
"""Validate the values of known options."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from oslo_config import cfg

from drivers.compat.oslo_config import Placed
from worker.conf.check.config_files import ConfigFiles
from worker.conf.check.problems import Problem

_NUMBER = re.compile(r"(?:invalid literal for int\(\) with base \d+|could not convert .*): (.*)")

DOLLAR = "has a $ before a word that is no option: write $$ for a $"


def wrong(conf: cfg.ConfigOpts, options: Iterable[Placed], source: ConfigFiles) -> list[Problem]:
    """Return the options whose value cannot be read, each with its place."""
    problems = []
    for section, option in options:
        text = _fault(conf, section, option)
        if text:
            problems.append(source.problem(section, option, text))
    return problems


def _fault(conf: cfg.ConfigOpts, section: str, option: cfg.Opt) -> str | None:
    try:
        value = conf[option.dest] if section == "DEFAULT" else conf[section][option.dest]
        if isinstance(value, float) and not math.isfinite(value):
            return f"{value} is no finite number"  # no limit of an option refuses nan
    except (cfg.NoSuchOptError, cfg.TemplateSubstitutionError):
        return DOLLAR  # the library names the option itself, or shows the value
    except (ValueError, cfg.Error) as error:
        return "the value is not valid" if option.secret else short(str(error))
    return None


def short(text: str) -> str:
    """Cut oslo.config's description of the place, as ours is more precise."""
    _, found, reason = text.partition("is not valid: ")
    reason = " ".join((reason if found else text).split())
    return _NUMBER.sub(r"\1 is not a number", reason)
