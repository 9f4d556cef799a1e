# SPDX-License-Identifier: Apache-2.0
"""Refusals of the set-up, and the place that hosts share."""

from __future__ import annotations

import pytest

from drivers.backup.ceph import binding
from drivers.interface.errors import BackupDriverException


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({"backup_ceph_user": ""}, "backup_ceph_user is empty"),
        ({"backup_ceph_conf": "/nowhere"}, "Ceph cluster of /nowhere"),
        ({"backup_ceph_pool": "gone"}, "pool gone .* does not exist"),
        ({"backup_ceph_stripe_unit": 65536}, "set both, or none"),
    ],
)
def test_a_mistake_is_named(cloud, options, wanted):
    with pytest.raises(BackupDriverException, match=wanted):
        cloud.driver(**options).check_for_setup_error()


def test_missing_bindings_name_their_packages(cloud, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setitem(__import__("sys").modules, "rbd", None)
    monkeypatch.setitem(__import__("sys").modules, "rados", None)
    with pytest.raises(BackupDriverException, match="python3-rados and python3-rbd") as found:
        cloud.driver().check_for_setup_error()
    assert "\n" not in str(found.value)
    with pytest.raises(BackupDriverException):
        binding.load()


def test_the_options_reach_new_images(cloud):
    options = {"backup_ceph_stripe_unit": 65536, "backup_ceph_stripe_count": 4}
    driver = cloud.driver(**options, backup_ceph_image_journals=True)
    driver.check_for_setup_error()
    cloud.back_up(cloud.new(), driver)
    with cloud.image(cloud.images()[0], "backups") as file:
        made = file.rbd_image._index()["options"]
    assert (made["stripe_unit"], made["stripe_count"]) == (65536, 4)
    assert made["features"] == 1 + 2 + 4 + 8 + 16 + 64


def test_hosts_share_a_pool_of_a_cluster(cloud):
    kind, options = type(cloud.driver()), cloud.driver().configuration
    assert kind.shared_place(options) == "3d5ac9a4-0d1a-4d5c-9d3e-0f4cf7f04b11 backups"
    options.backup_ceph_conf = "/nowhere"
    assert kind.shared_place(options) is None
