# SPDX-License-Identifier: Apache-2.0
"""The correct drivers, how the suite is run over each, and all bugs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .bug import Bug
from .bugs import (
    answers,
    connections,
    exports,
    groups,
    images,
    interruptions,
    management,
    setup,
    snapshots,
    stores,
    volumes,
)
from .correct import album, gate, shelf, vault

_HERE = "tests.conformance.planted"


@dataclass(frozen=True)
class Kind:
    """A correct driver.

    :param module: its module in ``planted.correct``.
    :param arguments: those of the suite, by a directory for its data.
    """

    module: str
    driver: type
    arguments: Callable[[Path], list[str]]

    @property
    def file(self) -> Path:
        """Its source."""
        return Path(__file__).with_name("correct") / f"{self.module}.py"


def _vault(place: Path) -> list[str]:
    return [
        f"--driver-option=vault_path={place / 'vault'}",
        "--driver-option=vault_password=Pa55-of-the-option",
        f"--device={_HERE}.hooks:Ticket",
        f"--foreign={_HERE}.hooks:foreign",
        "--ignore-file=locks/volume-*",
    ]


def _shelf(place: Path) -> list[str]:
    return [
        f"--driver-option=shelf_path={place / 'shelf'}",
        "--driver-option=shelf_password=Pa55-of-the-option",
    ]


def _album(place: Path) -> list[str]:
    return [
        f"--driver-option=album_path={place / 'album'}",
        "--driver-option=album_password=Pa55-of-the-option",
    ]


def _gate(place: Path) -> list[str]:
    return [f"--driver-option=gate_path={place / 'gate'}", f"--device={_HERE}.hooks:Pass"]


CORRECT = {
    "vault": Kind("vault", vault.VaultDriver, _vault),
    "shelf": Kind("shelf", shelf.ShelfDriver, _shelf),
    "album": Kind("album", album.AlbumImages, _album),
    "gate": Kind("gate", gate.GateExport, _gate),
}


def all_bugs() -> Sequence[Bug]:
    """Return all planted bugs."""
    volume = (setup, volumes, snapshots, connections, management, groups, answers, interruptions)
    tables = (*volume, stores, images, exports)
    return [bug for table in tables for bug in table.BUGS]
