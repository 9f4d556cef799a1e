# SPDX-License-Identifier: Apache-2.0
"""The migration report: the effect of each option in Cinder's files, and the changes to make."""

from __future__ import annotations

import contextlib
import os
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from oslo_config import cfg

    from worker.cli.output.colour import Colour
    from worker.conf.check.checker import Examination
    from worker.conf.check.problems import Problem
    from worker.conf.cinder.review import AssignmentKind

_STRANGE = (
    "Its name does not say that it is Cinder's (cinder*.conf), so where defaults differ ours "
    "hold: state_path, backup_driver, image_service, volume_driver."
)

_AGAIN = "Make the changes that are listed above before the move, and run this again."

_INSTALL = "Install the missing packages in the environment of these services: "

_INSTALL_OTHERS = "Install the packages that are listed above."

_SERVICES = ("cinder-volume", "cinder-backup")
"""Cinder's programs that do the same work."""

_TOGETHER = ("pip install '", " = ", "--config-file ")
"""Text that is not broken over two lines."""

_WIDTH = 79
_INDENT = "  "


class Report:
    """The report on files that were examined.

    :param paint: colours headings and options that have to be changed.
    """

    def __init__(self, files: Sequence[str], found: Examination, paint: Colour) -> None:
        self._files, self._found, self._paint = files, found, paint
        self._errors = [problem for problem in found.problems if problem.fatal]

    @property
    def prevents(self) -> bool:
        """Whether something has to be changed before the move."""
        return bool(self._errors)

    def lines(self) -> Iterator[str]:
        """Return the report."""
        review = self._found.review
        kinds = _kinds()
        unknown = {f.problem for f in review.of_kind(kinds.UNKNOWN)} if review else set()
        missing = [*self._found.missing]
        others = [p for p in self._found.problems if not p.fatal and p not in missing]
        yield from self._head()
        yield from self._served()
        yield from self._part("To change before the move", "bad", self._errors)
        yield from self._part("To install before the move", "bad", missing)
        yield from self._part(
            "Done otherwise, or without effect", "undone", [p for p in others if p not in unknown]
        )
        yield from self._part("Unknown", "undone", [p for p in others if p in unknown])
        if review is not None:
            yield from self._counts()
        yield from self._next()

    def _head(self) -> Iterator[str]:
        # Late: help needs no configuration, which loads 50 modules.
        from worker.conf.cinder.defaults import are_cinders

        release = f" {self._found.review.release}" if self._found.review else ""
        ours = metadata.version("holdfast")
        yield self._paint(f"From Cinder{release} to Holdfast {ours}", "strong")
        yield from (_INDENT + file for file in self._files)
        if not are_cinders(self._files):
            yield from _wrapped(_STRANGE, _INDENT)

    def _served(self) -> Iterator[str]:
        conf = self._found.conf
        if conf is None:
            return
        rows = [(name, *_driver(conf, name)) for name in conf.enabled_backends]
        yield from self._heading("Backends", len(rows))
        yield from _columns(rows)
        yield from self._heading("Backups")
        store = _store(conf)
        if store is not None and not self._makes_backups(conf):
            store += "; does not start with these options"
        yield _INDENT + (store or f"{conf.backup_driver}; cannot be loaded")

    def _part(self, title: str, kind: str, problems: Sequence[Problem]) -> Iterator[str]:
        if not problems:
            return
        yield from self._heading(title, len(problems), kind)
        by_text: dict[str, list[Problem]] = {}
        for problem in problems:
            by_text.setdefault(problem.text, []).append(problem)
        for text, alike in by_text.items():
            yield from (_INDENT + self._paint(self._place(each), "strong") for each in alike)
            yield from _wrapped(text, 2 * _INDENT)

    def _place(self, problem: Problem) -> str:
        file = problem.file or ""
        if len(self._files) == 1 or file not in self._files:
            file = os.path.basename(file)
        where = f"{file}:{problem.line}" if file and problem.line else file or "not in the file"
        section = f"[{problem.section}] " if problem.section else ""
        return f"{where}  {section}{problem.option or ''}".rstrip()

    def _counts(self) -> Iterator[str]:
        review, kinds = self._found.review, _kinds()
        assert review is not None
        taken = len(review.of_kind(kinds.TAKEN))
        readers = Counter(finding.reader for finding in review.of_kind(kinds.ELSEWHERE))
        yield from self._heading("Taken over as they are", taken)
        if left_out := _left_out(self._found.conf, review.set_options):
            yield from _wrapped(f"and, as Cinder's defaults: {', '.join(left_out)}", _INDENT)
        if readers:
            yield from self._heading("For others, not looked at", sum(readers.values()))
            yield from _columns([(f"{count:4}", reader) for reader, count in readers.most_common()])

    def _next(self) -> Iterator[str]:
        yield from self._heading("Next")
        for number, step in enumerate(self._steps(), 1):
            yield from _wrapped(step, _INDENT, f"{number}. ")

    def _steps(self) -> Iterator[str]:
        if command := self._found.installation:
            yield _INSTALL + command.replace(" ", "\N{NO-BREAK SPACE}")
        elif self._found.missing:
            yield _INSTALL_OTHERS
        if self.prevents:
            yield _AGAIN
            return
        conf = self._found.conf
        asked = " ".join(f"--config-file {os.path.abspath(file)}" for file in self._files)
        state = conf.state_path if conf is not None else "state_path"
        names = list(conf.enabled_backends) if conf is not None else []
        yield (
            f"See that the user of the services can write to {state}, and under systemd name that "
            "user and ReadWritePaths= in the units (systemctl edit): docs/cinder-conf.rst has an "
            "example."
        )
        yield f"holdfast {asked} db check  says whether the database fits."
        with_backups = conf is not None and self._makes_backups(conf)
        stopped = _SERVICES if with_backups else _SERVICES[:1]
        stop = f"Stop {' and '.join(stopped)}: both would take the same operations."
        yield stop + _running(stopped)
        yield f"holdfast-volume {asked}  serves {', '.join(names) or 'them'} under the same names."
        if with_backups:
            yield f"holdfast-backup {asked}  makes, restores and deletes backups."
        else:
            yield (
                "cinder-backup, if there is one, goes on as it is: holdfast-backup does not start "
                "with these options."
            )
        yield "The way back is the same: stop them, and start Cinder's services."

    def _makes_backups(self, conf: cfg.ConfigOpts) -> bool:
        review = self._found.review
        return _store(conf) is not None and not (review and review.lacks_backups)

    def _heading(self, title: str, count: int | None = None, kind: str = "strong") -> Iterator[str]:
        yield ""
        yield self._paint(title if count is None else f"{title} ({count})", kind)


def _kinds() -> type[AssignmentKind]:
    # Late: help needs no configuration, which loads 50 modules.
    from worker.conf.cinder.review import AssignmentKind

    return AssignmentKind


def _driver(conf: cfg.ConfigOpts, name: str) -> tuple[str, str]:
    """Return the driver of a backend, and how it is served."""
    # Late: help needs no configuration, which loads 50 modules.
    from worker.conf import ConfigError, backends

    wanted = backends.driver_name(conf, name)
    short = wanted.rpartition(".")[2]
    if wanted.startswith("cinder."):
        served = "Cinder's driver, through the adapter"
    elif "." in wanted:
        served = f"a driver of {wanted.partition('.')[0]}"
    else:
        served = "a driver of Holdfast"
    try:
        backends.driver_class(conf, name)
    except ConfigError:
        served += "; cannot be loaded"
    return short, served


def _store(conf: cfg.ConfigOpts) -> str | None:
    """Return the driver of backups; None where there is none."""
    # Late: help needs no configuration, which loads 50 modules.
    from worker.conf import ConfigError, option_groups

    wanted = conf.backup_driver
    try:
        option_groups.backup.driver_class(conf)
    except ConfigError:
        return None
    ours = option_groups.backup.ours(wanted)
    if option_groups.backup.is_adapted(wanted):
        return f"{ours}, Cinder's driver, through the adapter"
    return f"{ours}, a driver of Holdfast" if "." not in ours else ours


def _left_out(conf: cfg.ConfigOpts | None, said: Iterable[str]) -> list[str]:
    # Late: help needs no configuration, which loads 50 modules.
    from worker.conf.cinder import defaults

    if conf is None:
        return []
    return [
        f"{name} = {value}"
        for name, value in defaults.SERVICE.items()
        if name not in said and conf[name] == value
    ]


def _running(programs: Sequence[str]) -> str:
    """Return which of these programs run on this host, as a sentence."""
    found = sorted({(name, pid) for pid, name in _processes() if name in programs})
    if not found:
        return ""
    shown = ", ".join(f"{name} (process {pid})" for name, pid in found)
    return f" Still running on this host: {shown}."


def _processes() -> Iterator[tuple[int, str]]:
    """Yield the id of each process, with the names of the programs in its command line."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes().split(b"\0")[:3]
                for word in words:
                    yield int(entry.name), os.path.basename(word).decode(errors="replace")


def _columns(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield (_INDENT + "  ".join(cells)).rstrip()


def _wrapped(text: str, indent: str, mark: str = "") -> list[str]:
    for words in _TOGETHER:
        text = text.replace(words, words.replace(" ", "\N{NO-BREAK SPACE}"))
    lines = textwrap.wrap(
        mark + text,
        _WIDTH,
        initial_indent=indent,
        subsequent_indent=indent + " " * len(mark),
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.replace("\N{NO-BREAK SPACE}", " ") for line in lines]
