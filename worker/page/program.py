# SPDX-License-Identifier: Apache-2.0
"""Answer requests of the listener over a channel, until it is closed or idle.

Both sides speak JSON, one message for each request and one for its answer.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
from collections.abc import Sequence
from multiprocessing.connection import Connection

from worker.compat import native_threads  # noqa: F401  before anything of oslo

from worker import file_modes  # isort: skip
from worker.cli.access import Access  # isort: skip
from worker.page.site import Site  # isort: skip

IDLE = 120.0
"""Seconds without a request after which the process ends."""

NICE = 5
"""Operations go first."""


def main(argv: Sequence[str] | None = None) -> None:
    """Serve one listener."""
    parser = argparse.ArgumentParser(prog="holdfast-page")
    parser.add_argument("--channel", type=int, required=True)
    for option in ("--config-file", "--config-dir"):
        parser.add_argument(option, action="append", default=[])
    options = parser.parse_args(argv)
    file_modes.restrict()
    with contextlib.suppress(OSError):
        os.nice(NICE)
    logging.getLogger().setLevel(logging.ERROR)
    access = Access(options.config_file, options.config_dir, only_read=True)
    with contextlib.closing(Connection(options.channel)) as channel:
        serve(channel, Site(access))


def serve(channel: Connection, site: Site) -> None:
    """Answer until the other side closes the channel, or is silent."""
    with contextlib.suppress(EOFError, OSError):
        while channel.poll(IDLE):
            request = json.loads(channel.recv_bytes())
            channel.send_bytes(json.dumps(site.answer(request)).encode())


if __name__ == "__main__":
    main()
