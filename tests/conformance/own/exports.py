# SPDX-License-Identifier: Apache-2.0
"""The export drivers of this repository."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from drivers.export.nbd import OPTS, NbdExport
from tests.conformance.backend import Case

from .cases import NBD_PROGRAMS


class Nbd(NbdExport):
    """Made as the local driver makes it."""

    OPTS = OPTS

    def __init__(self, configuration: Any) -> None:
        super().__init__(
            Path(configuration.state_path) / ".exports",
            configuration.local_nbd_address,
            configuration.local_nbd_ports,
            configuration.local_nbd_tls,
        )


PATH = f"{__name__}:Nbd"
IGNORED = (".exports", ".exports/lock.*")

CASES = (
    Case("nbd", PATH, programs=NBD_PROGRAMS, points=2, ignored=IGNORED),
    Case(
        "nbd-tcp",
        PATH,
        {"local_nbd_address": "127.0.0.1"},
        programs=NBD_PROGRAMS,
        points=1,
        ignored=IGNORED,
    ),
)
