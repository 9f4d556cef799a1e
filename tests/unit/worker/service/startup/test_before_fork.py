# SPDX-License-Identifier: Apache-2.0
"""Preparations in the parent: they are done, and safe to be inherited by a fork."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[5]


@pytest.mark.parametrize("server", ["mysql+pymysql://root@127.0.0.1:1/none", "sqlite:///{place}"])
def test_nothing_is_open_and_no_thread_runs_afterwards(tmp_path: Path, server: str) -> None:
    script = """
        import os, socket, sys, threading
        from worker.compat import native_threads, pymysql
        from worker import conf as config
        place, server = sys.argv[1:]
        conf = config.load([], prog="p", default_config_files=[])
        conf.set_override("connection", server.format(place=f"{place}/rows"), "database")
        conf.set_override("connection", f"sqlite:///{place}/journal", "journal")
        from worker import entry_points
        from worker.conf.option_groups import image
        from worker.service.startup import before_fork
        def opened():
            return {os.readlink(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd")
                    if os.path.exists(f"/proc/self/fd/{n}")}
        before = opened()
        before_fork.prepare(conf)
        assert opened() <= before, opened() - before
        assert threading.enumerate() == [threading.main_thread()]
        known = entry_points.of_group.cache_info().misses
        entry_points.of_group(image.SERVICES)
        assert entry_points.of_group.cache_info().misses == known
        if "pymysql" in server:
            import ssl
            ssl.create_default_context = None  # the context is there
            pymysql.make_tls_context()
        assert not os.listdir(place)
        assert not any(name.startswith("cinder.") for name in sys.modules)
    """
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(script), str(tmp_path), server],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 0, done.stderr
