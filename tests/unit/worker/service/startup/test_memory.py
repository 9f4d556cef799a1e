# SPDX-License-Identifier: Apache-2.0
"""Memory of a start: no collection while modules load, and none of shared pages afterwards."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[5]


def run(script: str, *arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(script), *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("program", ["volume", "backup"])
def test_a_program_collects_nothing_before_it_serves(program: str, tmp_path: Path) -> None:
    run(
        """
        import gc, importlib, sys
        main = importlib.import_module(f"worker.cmd.{sys.argv[1]}")
        from worker.service import process
        from worker.service.startup import memory
        seen, collections = [], []
        gc.callbacks.append(lambda phase, _info: collections.append(phase))
        def serve(*_):
            seen.append(gc.isenabled())
            memory.share(memory.ARENAS)
            seen.append(gc.isenabled())
            seen.append(gc.get_freeze_count() > 100_000)
        process.serve = serve
        collections.clear()
        with open(f"{sys.argv[2]}/c", "w") as file:
            file.write(
                "[DEFAULT]\\nenabled_backends = a\\ntransport_url = rabbit://h//\\n"
                f"state_path = {sys.argv[2]}\\nbackup_driver = posix\\n"
                f"backup_posix_path = {sys.argv[2]}/b\\n"
                "[a]\\nvolume_driver = noop\\n"
            )
        main.main(["--config-file", f"{sys.argv[2]}/c"])
        assert seen == [False, True, True], seen
        assert not collections[:-2], collections
        """,
        program,
        str(tmp_path),
    )


def test_an_error_leaves_collections_on() -> None:
    run(
        """
        import gc
        from worker.service.startup import memory
        try:
            with memory.loading():
                assert not gc.isenabled()
                raise ValueError
        except ValueError:
            pass
        assert gc.isenabled()
        """
    )
