# SPDX-License-Identifier: Apache-2.0
"""The connector of os-brick that consumers use takes our connection info."""

from __future__ import annotations

import os

import pytest

connector = pytest.importorskip("os_brick.initiator.connector", reason="os-brick is not installed")


def test_local_connector_attaches_what_we_return(backend):
    volume = backend.created()
    info = backend.connect(volume)

    local = connector.InitiatorConnector.factory(
        info["driver_volume_type"].upper(), root_helper=None, use_multipath=False
    )
    device = local.connect_volume(info["data"])

    assert device["type"] == "local"
    assert os.stat(device["path"]).st_size == 1024**3
    assert local.get_volume_paths(info["data"]) == [device["path"]]
    local.disconnect_volume(info["data"], device)
