# SPDX-License-Identifier: Apache-2.0
"""The private parts of Cinder are as ``drivers.compat`` uses them."""

from __future__ import annotations

import importlib
import importlib.util
import inspect

import pytest

if importlib.util.find_spec("cinder") is None:
    pytest.skip("Cinder is installed by tox -e cinder", allow_module_level=True)

from drivers.compat.cinder import context_of  # noqa: E402
from tests.conformance import cinders  # noqa: E402

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
