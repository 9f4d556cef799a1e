# SPDX-License-Identifier: Apache-2.0
"""Errors in a configuration, each reported in one line."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass

EXIT_STATUS = os.EX_CONFIG
"""Exit status of a service whose configuration does not allow a start.

The units list it as RestartPreventExitStatus: another start would end in the same way.
"""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, and where it is said.

    :param file: the file, None when no file says it.
    :param line: its line, None when it is not known.
    :param section: the section, None when the whole file is meant.
    :param option: the option, None when the whole section is meant.
    :param text: the value, the valid values, the next step; no secret.
    :param fatal: whether the service refuses to start.
    """

    file: str | None
    line: int | None
    section: str | None
    option: str | None
    text: str
    fatal: bool = True

    def __str__(self) -> str:
        place = self.file or ""
        if self.line is not None:
            place += f":{self.line}"
        name = f"[{self.section}]" if self.section else ""
        if self.option:
            name += f" {self.option}"
        return ": ".join(part for part in (place, name.strip(), self.text) if part)


class ConfigError(SystemExit):
    """The configuration does not allow a start.

    Callers need not catch it: it ends the program with its text, one line, and exit
    status 1, or a service with :data:`EXIT_STATUS`. A boundary that catches ``Exception`` lets
    it pass.
    """

    def __init__(self, problem: Problem | str) -> None:
        super().__init__(str(problem))
        self.problem = (
            problem if isinstance(problem, Problem) else Problem(None, None, None, None, problem)
        )


def refuse(problems: Sequence[Problem]) -> None:
    """End the program if there are any: one line says the first of them.

    :raises ConfigError: there are.
    """
    if not problems:
        return
    first = problems[0]
    if len(problems) > 1:
        more = f"{first.text} (and {len(problems) - 1} more: holdfast config check)"
        first = dataclasses.replace(first, text=more)
    raise ConfigError(first)
