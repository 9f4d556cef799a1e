# SPDX-License-Identifier: Apache-2.0
"""The private parts of cotyledon are as ``worker.compat`` uses them."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[4]

_SERVICE = """
    import os, signal, sys, threading, time
    import cotyledon
    from worker.compat import cotyledon as compat
    place = sys.argv[1]
    class Service(cotyledon.Service):
        def __init__(self, worker_id, name):
            super().__init__(worker_id)
            self._mark = f"{name}{worker_id}"
        def run(self):
            open(f"{place}/{self._mark}", "w").close()
            threading.Event().wait()
        def terminate(self):
            os._exit(0)
    def stop():
        os.kill(os.getpid(), signal.SIGTERM)
"""


def run(script: str, place: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(_SERVICE) + textwrap.dedent(script)]
        + [str(place)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_each_process_is_forked_in_its_turn_and_none_after_a_stop(tmp_path: Path) -> None:
    run(
        """
        before = []
        def turn(stopping):
            before.append(len(before))
            if len(before) == 4:
                stop()
                assert stopping.wait(60)
                return
            if len(before) > 1:  # the one before runs
                last = ["a0", "a1", "b0"][len(before) - 2]
                while not os.path.exists(f"{place}/{last}"):
                    time.sleep(0.01)
        manager = compat.ServiceManager(turn, graceful_shutdown_timeout=60)
        manager.add(Service, workers=2, args=("a",))
        manager.add(Service, workers=3, args=("b",))
        manager.run()
        """,
        tmp_path,
    )

    assert sorted(path.name for path in tmp_path.iterdir()) == ["a0", "a1", "b0"]
