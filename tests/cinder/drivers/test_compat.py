# SPDX-License-Identifier: Apache-2.0
"""Cinder's private parts, and third-party modules that need Cinder's."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

if importlib.util.find_spec("cinder") is None:
    pytest.skip("Cinder is installed by tox -e cinder", allow_module_level=True)

from drivers.compat.cinder import context_of  # noqa: E402
from tests.conformance import cinders  # noqa: E402

ROOT = Path(__file__).parents[3]
NFS = "cinder.volume.drivers.nfs.NfsDriver"


@pytest.fixture(scope="module", autouse=True)
def loaded() -> None:
    """Prepare this process for Cinder."""
    cinders.load(NFS)


def test_an_object_keeps_the_context_of_its_making() -> None:
    context, objects = map(importlib.import_module, ("cinder.context", "cinder.objects"))
    request = context.get_admin_context()

    assert context_of(objects.Volume(request)) is request


def test_the_rbd_driver_connects_to_its_pool_and_disconnects() -> None:
    kind = importlib.import_module("cinder.volume.drivers.rbd").RBDDriver
    driver = kind.__new__(kind)  # its __init__ needs Ceph

    inspect.signature(driver._connect_to_rados).bind()
    inspect.signature(driver._disconnect_from_rados).bind("client", "pool")


THIRD_PARTY = """
from oslo_service import loopingcall  # imports eventlet, which this process does not have
from cinder.volume import driver


class Third(driver.VolumeDriver):
    pass
"""

LOAD = """
import sys
from worker.compat import native_threads
from tests.conformance import loading

found = loading.load(sys.argv[1], "volume")
print(loading.kind_of(found, "volume"), found.cinders.__name__)
"""


@pytest.mark.parametrize("path", ["third.Third", "./third.py:Third"])
def test_the_suite_finds_a_third_party_driver_for_cinder(tmp_path: Path, path: str) -> None:
    (tmp_path / "third.py").write_text(THIRD_PARTY)
    done = subprocess.run(
        [sys.executable, "-c", LOAD, path],
        cwd=tmp_path,
        env={"PYTHONPATH": f"{ROOT}:{tmp_path}", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stdout == "volume Third\n", done.stderr
