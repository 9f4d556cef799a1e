# SPDX-License-Identifier: Apache-2.0
"""Cinder's own backup drivers, as released, over its own objects and its own schema.

A program of its own: Cinder patches the whole process. It reads one JSON object per
line, and answers with one: the backup's row, and the resources that it used.

    {"do": "row", "row": {…}, "options": {…}}
    {"do": "backup", "row": {…}, "volume": "/path", "options": {…}}
    {"do": "restore", "row": {…}, "volume": "/path", "new": false, "options": {…}}
    {"do": "delete", "row": {…}, "options": {…}}

The driver is posix, or that of "driver". A volume may be {"conf": …, "pool": …, "image": …}, which
is opened as os-brick opens images of Ceph.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

out = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # whatever Cinder prints is no answer

from cinder import context, objects, rpc  # noqa: E402
from cinder.backup.drivers import ceph, posix, s3  # noqa: E402
from cinder.common import config  # noqa: E402, F401 - registers the options
from cinder.db import api as db  # noqa: E402
from cinder.db import migration  # noqa: E402
from os_brick.initiator import linuxrbd  # noqa: E402
from oslo_config import cfg  # noqa: E402
from oslo_utils import timeutils  # noqa: E402
from process import peak  # noqa: E402 - beside this file

CONF = cfg.CONF
_DRIVERS = {
    "ceph": ceph.CephBackupDriver,
    "posix": posix.PosixBackupDriver,
    "s3": s3.S3BackupDriver,
}
_SETTINGS = """
[DEFAULT]
state_path = {directory}
transport_url = fake:/
[database]
connection = sqlite:///{directory}/cinder.db
"""
_COLUMNS = ("container", "service_metadata", "parent_id", "object_count", "size")


def main(directory: str) -> None:
    """Answer until the input ends."""
    settings = Path(directory, "cinder.conf")
    settings.write_text(_SETTINGS.format(directory=directory))
    CONF([], project="cinder", default_config_files=[str(settings)])
    rpc.init(CONF)
    migration.db_sync()
    objects.register_all()
    admin = context.get_admin_context()
    for line in sys.stdin:
        print(json.dumps(answer(admin, json.loads(line))), file=out, flush=True)


def answer(admin: Any, asked: dict[str, Any]) -> dict[str, Any]:
    """Carry out a request, and return the row afterwards."""
    for name, value in asked["options"].items():
        CONF.set_override(name, value)
    backup = take_over(admin, asked["row"])
    if asked["do"] == "row":
        return {}
    driver = _DRIVERS[asked.get("driver", "posix")](admin)
    driver.check_for_setup_error()
    began, used = time.perf_counter(), time.process_time()
    if asked["do"] == "backup":
        with opened(asked["volume"], "rb") as file:
            update = driver.backup(backup, file)
        backup.update(update or {})
        backup.save()
    elif asked["do"] == "delete":
        driver.delete_backup(backup)
    else:
        with opened(asked["volume"], "r+b") as file:
            driver.restore(backup, backup.volume_id, file, asked["new"])
    took = {
        "seconds": time.perf_counter() - began,
        "cpu": time.process_time() - used,
        "peak": peak(),
    }
    backup.refresh()
    return {name: backup[name] for name in _COLUMNS} | {"took": took}


@contextlib.contextmanager
def opened(volume: Any, mode: str) -> Iterator[Any]:
    """Open a file, or an image of Ceph."""
    if isinstance(volume, str):
        with open(volume, mode) as file:
            yield file
        return
    conf, pool = volume["conf"], volume["pool"]
    client = linuxrbd.RBDClient("admin", pool, conffile=conf, rbd_cluster_name="ceph")
    image = linuxrbd.RBDVolume(client, volume["image"])
    yield linuxrbd.RBDVolumeIOWrapper(linuxrbd.RBDImageMetadata(image, pool, "admin", conf))
    image.close()


def take_over(admin: Any, row: dict[str, Any]) -> Any:
    """Return the backup of a row, which may be new, or have another status now."""
    known = {name: value for name, value in row.items() if name != "created_at"}
    try:
        db.backup_update(admin, row["id"], known)
    except Exception:  # noqa: BLE001 - it is not there yet
        require_volume(admin, row["volume_id"])
        db.backup_create(admin, {**known, "created_at": timeutils.utcnow()})
    return objects.Backup.get_by_id(admin, row["id"])


def require_volume(admin: Any, volume_id: str) -> None:
    """See that the volume has a row: its metadata is looked up."""
    kind = db.volume_type_get_by_name(admin, "__DEFAULT__")["id"]
    try:
        db.volume_get(admin, volume_id)
    except Exception:  # noqa: BLE001 - it is not there yet
        facts = {"id": volume_id, "size": 1, "status": "backing-up", "volume_type_id": kind}
        db.volume_create(admin, facts)


if __name__ == "__main__":
    main(sys.argv[1])
