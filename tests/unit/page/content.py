# SPDX-License-Identifier: Apache-2.0
"""Content of a journal and a database as services leave it, without services."""

from __future__ import annotations

import json
import time
import uuid
from pathlib import Path
from typing import Any

from oslo_config import cfg
from oslo_utils import timeutils
from taskflow import states
from taskflow.persistence.models import FlowDetail, TaskDetail
from taskflow.types.failure import Failure

from drivers.interface.errors import VolumeBackendAPIException
from flows.backup import continue_
from flows.volume import create
from worker import conf as config
from worker.conf import state_path
from worker.db import sync
from worker.db.database import Database
from worker.db.records import Records
from worker.journal.entries.insertions import flow_id
from worker.journal.journal import Journal
from worker.metrics import definitions as d
from worker.rpc.operation import Operation
from worker.rpc.request_context import RequestContext

SLOT = "node1@lvm/0"
GIB = 2**30

CONFIG = """\
[DEFAULT]
host = node1
state_path = {folder}/state
log_file = {folder}/holdfast.log
enabled_backends = lvm
transport_url = kombu+memory://
[journal]
connection = sqlite:///{folder}/state/journal.sqlite
[database]
connection = sqlite:///{folder}/state/cinder.sqlite
[lvm]
volume_driver = local
local_path = {folder}/volumes
"""

TASKS = ("begin", "allocate", "finish")


class Content:
    """A configuration with its database and its journal.

    :param folder: where they are.
    :ivar ids: of some things in it, by names.
    """

    def __init__(self, folder: Path) -> None:
        self.ids: dict[str, str] = {}
        self.file = folder / "holdfast.conf"
        self.file.write_text(CONFIG.format(folder=folder))
        self.conf: cfg.ConfigOpts = config.load([f"--config-file={self.file}"], prog="holdfast")
        state_path.prepare(self.conf)
        database = Database.from_conf(self.conf)
        sync.sync(database)
        self.records = Records.from_conf(self.conf, database)
        self.journal = Journal(self.conf.journal.connection)
        self.journal.upgrade()

    def volume(self, **columns: Any) -> str:
        """Make the row of a volume."""
        row = {
            "size": 10,
            "host": "node1@lvm#fast",
            "project_id": "p" * 32,
            "user_id": "u",
            **columns,
        }
        return str(self.records.volumes.create(id=str(uuid.uuid4()), **row).id)

    def backup(self, volume_id: str, parent: str | None = None, **columns: Any) -> str:
        """Make the row of a backup."""
        row = {"size": 10, "host": "node1", "status": "available", "object_count": 41, **columns}
        return str(self.records.backups.create(volume_id=volume_id, parent_id=parent, **row).id)

    def running(self, volume_id: str, progress: float | None = None) -> str:
        """Accept the creation of a volume, whose second step runs; return the flow."""
        done = {"begin": states.SUCCESS, "allocate": states.RUNNING}
        return self._operation(volume_id, done, progress)

    def waiting(self, volume_id: str) -> str:
        """Accept an operation on a volume, which does not begin; return the flow."""
        return self._operation(volume_id, {})

    def backing_up(self, backup_id: str, volume_id: str, progress: float) -> str:
        """Accept a backup, which moves data; return the flow."""
        args = {"backup_id": backup_id, "volume_id": volume_id}
        operation = Operation(
            continue_.flow,
            ("backup", backup_id),
            args,
            method="continue_backup",
            request=RequestContext({"request_id": f"req-{uuid.uuid4()}"}),
        )
        detail = self._accepted(operation)
        names = [node.name for node, _data in continue_.flow().iter_nodes()]
        done = {name: states.SUCCESS for name in names[:2]} | {names[2]: states.RUNNING}
        self._tasks(detail, done, progress)
        return str(detail.uuid)

    def failed(self, volume_id: str, text: str, left: dict[str, str] | None = None) -> str:
        """Make an operation that has failed; return the flow.

        :param left: errors of the reverts, by step.
        """
        flow = self.running(volume_id)
        detail = self.journal.load(flow)
        progress, failure = self.journal.progress(detail), _failure(text)
        for task in detail:
            task.state = states.REVERTED
            if task.name == "allocate":
                task.failure = failure
                task.revert_results = {"traceback": (left or {}).get("allocate", "")}
            progress.update_atom_details(task)
        self.journal.finish(detail, progress, failure, left)
        return flow

    def succeeded(self, volume_id: str) -> str:
        """Make an operation that has succeeded; return the flow."""
        flow = self._operation(volume_id, dict.fromkeys(TASKS, states.SUCCESS))
        detail = self.journal.load(flow)
        self.journal.finish(detail, self.journal.progress(detail), None)
        return flow

    def state(self, **more: Any) -> dict[str, Any]:
        """Return the state of a service, as its listener has it."""
        is_ready = more.pop("ready", True)
        reasons = [] if is_ready else [f"{SLOT}: driver: no array answers"]
        ready = {"bus": "", "driver": "" if is_ready else "no array answers"}
        process = {
            "at": time.monotonic(),
            "age": 0.3,
            "pid": 4711,
            "slot": SLOT,
            "service": "cinder-volume",
            "hostname": "node1@lvm",
            "alive": {"casts": ""},
            "ready": ready,
            "metrics": {
                d.POOL_TOTAL.name: [[["fast"], 4000 * GIB], [["archive"], 9000 * GIB]],
                d.POOL_FREE.name: [[["fast"], 320 * GIB], [["archive"], 6100 * GIB]],
                d.POOL_PROVISIONED.name: [[["fast"], 6200 * GIB]],
                d.OUTAGE_SECONDS.name: [[["database"], 0.0]],
            },
        }
        shown = {"service": "holdfast-volume", "version": "0.1.0", "alive": True, "ready": is_ready}
        return {**shown, "reasons": reasons, "processes": [process], **more}

    def close(self) -> None:
        """Close the connections, and forget the configuration."""
        self.journal.close()
        cfg.CONF.reset()

    def _operation(
        self, volume_id: str, done: dict[str, str], progress: float | None = None
    ) -> str:
        operation = Operation(
            create.flow,
            ("volume", volume_id),
            {"volume_id": volume_id},
            exclusive=(volume_id,),
            method="create_volume",
            request=RequestContext({"request_id": f"req-{volume_id}", "project_id": "p"}),
        )
        detail = self._accepted(operation)
        self._tasks(detail, done, progress)
        return str(detail.uuid)

    def _accepted(self, operation: Operation) -> FlowDetail:
        detail = self.journal.accept(uuid.uuid4().hex, SLOT, operation)
        assert detail is not None
        return detail

    def _tasks(self, detail: FlowDetail, done: dict[str, str], part: float | None) -> None:
        progress, began = self.journal.progress(detail), time.time() - 90
        for name, state in done.items():
            task = TaskDetail(name, uuid.uuid4().hex)
            task.state, task.meta = state, {"began": began, "ended": (began := began + 1.5)}
            if part is not None and state == states.RUNNING:
                task.meta["progress"] = part
            detail.add(task)
            progress.update_atom_details(task)
        if done:
            self.journal.count_interruption(detail)
        progress.flush()


def realistic(content: Content) -> dict[str, str]:
    """Make content of all kinds; return the ids of some."""
    for number in range(12):
        content.succeeded(content.volume(status="available", display_name=f"web-{number:02d}"))
    busy = content.volume(status="creating", display_name="db-primary", size=400)
    running = content.running(busy, 0.37)
    waiting = content.waiting(busy)
    lost = content.volume(status="error", display_name="logs")
    text = "lvcreate: insufficient free space: 256000 extents needed, but only 81920 available"
    failed = content.failed(lost, text)
    stuck = content.volume(status="error", display_name="scratch")
    left = {"allocate": "VolumeIsBusy: node1-vg/volume-1 is open"}
    unreverted = content.failed(stuck, "the array refused: code 0x1f", left)
    kept = content.volume(status="in-use", display_name="shop", size=80)
    first = content.backup(kept, display_name="shop-sunday", object_count=812, size=80)
    monday = content.backup(kept, first, display_name="shop-monday", size=80)
    content.backup(kept, monday, display_name="shop-tuesday", size=80)
    moving = content.backup(
        kept, monday, display_name="shop-wednesday", status="creating", size=80, object_count=0
    )
    content.backing_up(moving, kept, 0.62)
    content.backup(busy, display_name="db-full", status="error", fail_reason="the store is full")
    content.backup(lost, str(uuid.uuid4()), display_name="widow")
    message = uuid.uuid4().hex
    content.journal.rejected.add(
        message, "create_shelf", "unknown method create_shelf in version 3.21", request_id="req-77"
    )
    for host, binary in (("node1@lvm", "cinder-volume"), ("node1", "cinder-backup")):
        content.records.services.ensure(
            host=host,
            binary=binary,
            topic=binary,
            availability_zone="nova",
            rpc_version="3.20",
            object_version="1.39",
        )
    audit = {"ended_at": time.time() - 7000, "seconds": 41.2, "unable": {"node2@ceph": "no key"}}
    counts = {"volume_without_object": 2, "object_without_row": 0, "quota_usage": 1}
    place = Path(content.conf.state_path) / "audit.json"
    place.write_text(json.dumps({**audit, "counts": counts}))
    Path(content.conf.log_file).write_text(
        f"{timeutils.utcnow()} 4711 INFO worker.execution.executor [None req-{lost} u p] "
        f"create_volume of volume {lost} failed after 1.5 s\n"
    )
    named = {"running": running, "waiting": waiting, "failed": failed, "unreverted": unreverted}
    return {**named, "volume": lost, "backed_up": kept, "message": flow_id(message)}


def _failure(text: str) -> Failure:
    try:
        raise VolumeBackendAPIException(text)
    except VolumeBackendAPIException:
        return Failure()
