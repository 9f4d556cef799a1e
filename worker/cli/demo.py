# SPDX-License-Identifier: Apache-2.0
"""holdfast demo: the main job on embedded defaults, step by step, before your eyes."""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from worker.cli.access import Command
from worker.cli.output.colour import Colour


class Demo(Command):
    """Show the main job on embedded defaults: no server, no root, nothing left behind.

    The services run in this process, with their bus in memory, SQLite, and the local
    driver in a temporary folder. -v shows their log.
    """

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Play the whole scenario in a temporary folder."""
        began = time.monotonic()
        quiet = self.app.options.verbose_level < 2
        with _log(quiet), tempfile.TemporaryDirectory(prefix="holdfast-demo-") as folder:
            # Late: SQLAlchemy and taskflow take a second, which help does not need.
            from worker.cli.demonstration.demo_services import DemoServices
            from worker.cli.demonstration.scenario import Scenario

            stage = DemoServices(Path(folder), self._show, Colour(self.app.stdout))
            try:
                Scenario(stage).play()
            finally:
                stage.close()
        took = time.monotonic() - began
        self.write(
            f"All as it should be: {stage.count} operations in {took:.1f} s, nothing left behind."
        )
        return 0

    def _show(self, text: str) -> None:
        self.write(*text.removesuffix("\n").split("\n"))


@contextmanager
def _log(quiet: bool) -> Iterator[None]:
    """Keep the log off the screen: the scenario prints its own lines."""
    before = logging.root.manager.disable
    if quiet:
        logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
