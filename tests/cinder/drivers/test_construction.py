# SPDX-License-Identifier: Apache-2.0
"""Set-up of all drivers of the release: the adapter comes as far as cinder-volume."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import pkgutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

if importlib.util.find_spec("cinder") is None:
    pytest.skip("Cinder is installed by tox -e cinder", allow_module_level=True)

from tests.conformance import cinders  # noqa: E402
from worker.db import sync  # noqa: E402
from worker.db.database import Database  # noqa: E402

ROOT = Path(__file__).parents[3]
NFS = "cinder.volume.drivers.nfs.NfsDriver"

ALL = 97
"""Volume drivers of Cinder 29."""

COMMON = {
    "enable_unsupported_driver": "true",
    "suppress_requests_ssl_warnings": "true",
    "san_ip": "127.0.0.1",
    "san_login": "user",
    "san_password": "secret",
    "san_api_port": "1",
    "nas_host": "127.0.0.1",
    "nas_login": "user",
    "nas_share_path": "/share",
    "hpe3par_api_url": "http://127.0.0.1:1/api",
    "hpe3par_username": "user",
    "hpe3par_password": "secret",
    "powerflex_storage_pools": "a:b",
    "rbd_ceph_conf": "/nowhere/ceph.conf",
    "rbd_iscsi_api_url": "http://127.0.0.1:1",
    "rbd_iscsi_api_user": "user",
    "rbd_iscsi_api_password": "secret",
    "rbd_iscsi_target_iqn": "iqn.2026-01.org:t",
    "podm_url": "http://127.0.0.1:1",
    "podm_username": "user",
    "podm_password": "secret",
    "default_sandstone_target_ips": "127.0.0.1",
    "volume_group": "none",
}
"""Options with which drivers come beyond the check of their options; each knows a few of them."""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """By way and driver the end of its set-up, where no array answers."""
    directory = tmp_path_factory.mktemp("construction")
    paths = drivers()
    database = f"sqlite:///{directory / 'cinder.sqlite'}"
    sync.sync(Database(database))
    names = {f"d{number}": path for number, path in enumerate(paths)}
    lines = [
        "[DEFAULT]",
        f"enabled_backends = {','.join(names)}",
        f"state_path = {directory}",
        "transport_url = fake://",
        "[database]",
        f"connection = {database}",
        "[backend_defaults]",
        *(f"{name} = {value}" for name, value in COMMON.items()),
    ]
    for name, path in names.items():
        lines += [f"[{name}]", f"volume_driver = {path}", f"volume_backend_name = {name}"]
    file = directory / "holdfast.conf"
    file.write_text("\n".join(lines))
    ways = {way: started(way, file) for way in ("cinder", "holdfast")}
    found = {}
    try:
        for way, process in ways.items():
            output, errors = process.communicate(timeout=400)
            assert process.returncode == 0, errors[-4000:]
            found[way] = {names[name]: end for name, end in json.loads(output).items()}
    finally:
        for process in ways.values():
            process.kill()
    return found


def drivers() -> list[str]:
    """Return the class paths of all drivers of the release."""
    cinders.load(NFS)
    from cinder import interface
    from cinder.volume import drivers as package

    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)
    found = {f"{one.__module__}.{one.__name__}" for one in interface._volume_register}
    return sorted(path for path in found if path.startswith(f"{package.__name__}."))


def started(way: str, file: Path) -> Any:
    """Start the construction of all drivers in one of the two ways."""
    program = [sys.executable, "-W", "ignore", "-m", "tests.cinder.drivers.construction"]
    return subprocess.Popen(
        [*program, way, str(file)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.timeout(500)
def test_each_driver_comes_as_far_as_with_cinder(outcomes: dict[str, dict[str, str]]) -> None:
    by_cinder, by_us = outcomes["cinder"], outcomes["holdfast"]

    assert len(by_cinder) == ALL
    differing = [
        f"{path}\n  Cinder: {by_cinder[path]}\n  Holdfast: {by_us[path]}"
        for path in by_cinder
        if by_cinder[path] != by_us[path]
    ]
    assert not differing, "\n".join(differing)
    # Most must have met the absence of an array or of its library, not of an option.
    beyond = [end for end in by_cinder.values() if ".py:" in end]
    assert len(beyond) > ALL / 2


def test_the_options_of_the_manager_are_cinders() -> None:
    """Names, types, bounds and defaults; the descriptions are our own."""
    cinders.load(NFS)
    from cinder.volume import manager

    from drivers.cinder import manager_options

    def shown(options: Any) -> dict[str, Any]:
        return {one.dest: (one.type, one.default) for one in options}

    assert shown(manager_options.OF_BACKENDS) == shown(manager.volume_backend_opts)
    assert shown(manager_options.OF_SERVICE) == shown(manager.volume_manager_opts)
