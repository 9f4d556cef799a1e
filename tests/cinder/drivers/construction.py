# SPDX-License-Identifier: Apache-2.0
"""Construct every volume driver of a configuration, as cinder-volume does or as Holdfast does.

A program, since each way needs a process of its own::

    python -m tests.cinder.drivers.construction cinder FILE    by Cinder's manager
    python -m tests.cinder.drivers.construction holdfast FILE  by the adapter

Each prints JSON: by backend the error with which the set-up ends, without an array, and the
last function of Cinder that was reached; ``up`` where there is none.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

DEADLINE = 90
"""Seconds for one driver; none waits for a backend, since no pause takes time here."""


def main(way: str, file: str) -> None:
    """Do what the command line says."""
    time.sleep = lambda _seconds=0: None
    sys.stdout.write(json.dumps({"cinder": _by_cinder, "holdfast": _by_holdfast}[way](file)))
    sys.stdout.flush()
    os._exit(0)  # some drivers leave threads that would be waited for


def _by_cinder(file: str) -> dict[str, str]:
    import eventlet
    from cinder import context, coordination, objects, rpc
    from cinder.cmd import volume as command

    objects.register_all()
    command.CONF([], project="cinder", default_config_files=[file])
    rpc.init(command.CONF)
    coordination.COORDINATOR.start()
    from cinder.volume import manager

    def work(name: str) -> None:
        made = manager.VolumeManager(host=f"h@{name}", service_name=name)
        made.driver.do_setup(context.get_admin_context())
        made.driver.check_for_setup_error()
        made.driver.init_capabilities()

    def limited(name: str) -> None:
        with eventlet.Timeout(DEADLINE):
            work(name)

    return {name: _outcome(limited, name) for name in command.CONF.enabled_backends}


def _by_holdfast(file: str) -> dict[str, str]:
    import threading

    from worker import conf as config
    from worker.conf import backends

    conf = config.load(["--config-file", file], prog="holdfast-volume")

    def work(name: str) -> None:
        driver, configuration = backends.configure(conf, name)
        made = driver(configuration, host=f"h@{name}", active_backend_id=None)
        made.do_setup(None)
        made.check_for_setup_error()
        made.init_capabilities()

    def limited(name: str, found: dict[str, str]) -> None:
        found[name] = "TimeoutError: it waits"
        thread = threading.Thread(
            target=lambda: found.update({name: _outcome(work, name)}), daemon=True
        )
        thread.start()
        thread.join(DEADLINE)

    outcomes: dict[str, str] = {}
    for name in conf.enabled_backends:
        limited(name, outcomes)
    return dict(outcomes)


def _outcome(work: Callable[[str], Any], name: str) -> str:
    try:
        work(name)
    except BaseException as error:  # noqa: BLE001 - drivers raise anything
        origin: BaseException = error
        while origin.__cause__ is not None and "drivers.interface" in type(origin).__module__:
            origin = origin.__cause__
        frames = traceback.extract_tb(origin.__traceback__)
        own = [frame for frame in frames if "/cinder/volume/" in frame.filename]
        own = [frame for frame in own if "/cinder/volume/manager" not in frame.filename]
        last = f"{Path(own[-1].filename).name}:{own[-1].name}" if own else "nowhere"
        text = str(origin).replace("ECONNREFUSED", "Connection refused")  # eventlet's text
        text = re.sub(r"HTTPS?Connection(Pool)?\(.*?\)", "None", text)  # lost in translations
        text = text.replace('"', "'")
        return f"{type(origin).__name__}: {text} ({last})"
    return "up"


if __name__ == "__main__":
    main(*sys.argv[1:])
