# SPDX-License-Identifier: Apache-2.0
"""Lines of this host's logs that name some ids: of log files, or of systemd's journal."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from oslo_config import cfg
from oslo_utils import units

LINES = 200
"""Lines that are returned, the newest ones."""

_SEARCHED = 64 * units.Mi
"""Bytes of a file that are searched, from its end."""

_LONGEST = 2000
"""Characters of a line."""

_SECONDS = 10
"""Time that a search of systemd's journal may take."""

_PROGRAMS = ("holdfast-volume", "holdfast-backup")

_CALL = re.compile(
    r"(?P<call>[A-Za-z_]\w*\.[A-Za-z_]\w*)"
    r"(?:\((?P<arguments>.*)\) begins"
    r"| (?P<end>returned|raised) after (?P<seconds>[\d.]+) s(?P<failure>: .*?)?)"
    r"(?: logged_call \S+:\d+)?$"
)
"""A line of :mod:`worker.call_log`, from its message on."""


def found(conf: cfg.ConfigOpts, ids: Sequence[str]) -> tuple[list[dict[str, str]], list[str]]:
    """Return lines that name one of the ids, the oldest first, and why some are missing."""
    lines: deque[dict[str, str]] = deque(maxlen=LINES)
    files, gaps = list(_files(conf)), []
    for path in files:
        try:
            lines.extend({"source": str(path), "line": one} for one in _of_file(path, ids))
        except OSError as error:
            gaps.append(f"the log {path} cannot be read: {error.strerror}")
    if not files:
        some, gap = _of_systemd(ids)
        lines.extend({"source": "journalctl", "line": one} for one in some)
        gaps += [gap] if gap else []
    return list(lines), gaps


def driver_calls(lines: Iterable[dict[str, str]]) -> list[dict[str, Any]]:
    """Return the calls of drivers and other services that lines at the debug level are about."""
    calls: list[dict[str, Any]] = []
    for one in lines:
        if (seen := _CALL.search(one["line"])) is None:
            continue
        if not seen["end"]:
            calls.append({"call": seen["call"], "arguments": seen["arguments"], "outcome": "begun"})
            continue
        begun = [call for call in calls if call["call"] == seen["call"]]
        if begun:
            failure = (seen["failure"] or "").removeprefix(": ") or None
            begun[-1] |= {
                "outcome": seen["end"],
                "took_s": float(seen["seconds"]),
                "failure": failure,
            }
    return calls


def _files(conf: cfg.ConfigOpts) -> Iterator[Path]:
    """Yield the log files of the services, the rotated one before its successor."""
    directory = Path(conf.log_dir or "")
    if conf.log_file:
        names = [directory / conf.log_file]
    elif conf.log_dir:
        names = [directory / f"{program}.log" for program in _PROGRAMS]
    else:
        names = []
    for path in names:
        yield from (one for one in (Path(f"{path}.1"), path) if one.exists())


def _of_file(path: Path, ids: Sequence[str]) -> Iterator[str]:
    wanted = [one.encode() for one in ids]
    with path.open("rb") as opened:
        opened.seek(max(0, os.fstat(opened.fileno()).st_size - _SEARCHED))
        for line in opened:
            if any(one in line for one in wanted):
                yield line.decode(errors="replace").rstrip("\n")[:_LONGEST]


def _of_systemd(ids: Sequence[str]) -> tuple[list[str], str]:
    program = shutil.which("journalctl")
    if program is None:
        return [], "there is no log file in the configuration, and no systemd here"
    # With --grep and --lines it begins with the newest line, in some versions only if it has to.
    words = ["--no-pager", "--quiet", "--reverse", "--output=short-iso-precise", f"--lines={LINES}"]
    words += [f"--unit={name}*" for name in _PROGRAMS]
    words.append(f"--grep={'|'.join(map(re.escape, ids))}")
    try:
        done = subprocess.run(
            [program, *words], capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return [], f"systemd's journal cannot be searched: {error}"
    lines = [line[:_LONGEST] for line in done.stdout.splitlines() if not line.startswith("-- ")]
    lines.reverse()
    return lines, "" if lines else "systemd's journal has no line about it that can be read here"
