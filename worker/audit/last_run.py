# SPDX-License-Identifier: Apache-2.0
"""The figures of the last audit, in a file that the metrics are read from."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

FILE = "audit.json"
"""Its name in ``state_path``."""


@dataclass(frozen=True)
class LastRun:
    """The figures of one audit.

    :param ended_at: when it ended, in seconds since the epoch.
    :param seconds: how long it took.
    :param counts: the number of drifts by kind; a kind that was not looked for is absent.
    :param unable: the places that could not be read, with the reasons.
    :param repaired: the kind and the id of each drift that was repaired.
    """

    ended_at: float
    seconds: float
    counts: Mapping[str, int]
    unable: Mapping[str, str] = field(default_factory=dict)
    repaired: Sequence[Sequence[str]] = ()


def write(state_path: str | os.PathLike[str], run: LastRun) -> None:
    """Write the figures; a reader sees the former ones or these.

    :raises OSError: the directory cannot be written.
    """
    with tempfile.NamedTemporaryFile("w", dir=state_path, prefix=".audit-", delete=False) as file:
        try:
            json.dump(asdict(run), file)
            os.fchmod(file.fileno(), 0o640)
            file.flush()
            os.replace(file.name, Path(state_path) / FILE)
        except BaseException:
            os.unlink(file.name)
            raise


def read(state_path: str | os.PathLike[str]) -> LastRun | None:
    """Return the figures of the last audit; None where there was none, or the file is damaged."""
    try:
        found = json.loads((Path(state_path) / FILE).read_text(encoding="utf-8"))
        return LastRun(**found)
    except (OSError, ValueError, TypeError):
        return None


def counts_by_kind(state_path: str | os.PathLike[str]) -> Mapping[str, int]:
    """Return the number of drifts by kind in the last audit; empty where there was none."""
    found = read(state_path)
    return {} if found is None else found.counts
