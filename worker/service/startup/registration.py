# SPDX-License-Identifier: Apache-2.0
"""Become the only service of a host, the owner of a slot, and a row of the services table."""

from __future__ import annotations

import logging
import threading

from oslo_db import exception as db_exception

from worker.adapters.service_row import RegisteredService
from worker.db.database import Database
from worker.db.records import Records
from worker.db.records.services.cluster import OtherCluster
from worker.locks import Locks
from worker.service.inputs import Identity, Inputs
from worker.service.startup import slot_locks
from worker.service.startup.database_wait import when_available
from worker.service.startup.start_refused import StartRefused

LOG = logging.getLogger(__name__)


def hold(inputs: Inputs, identity: Identity, locks: Locks) -> None:
    """Become the only service of the host on this machine, and the owner of the slot."""
    exclude(inputs, identity, f"{identity.binary} {identity.host} of {inputs.database.shown}")
    with inputs.waits.on(f"the other process that serves {identity.host}"):
        slot_locks.hold(locks, identity.slot, inputs.stopping)


def exclude(inputs: Inputs, identity: Identity, service: str) -> None:
    """Wait for the end of a service of this name on this machine, and exclude others."""
    with inputs.waits.on(f"the other process that serves {identity.host}"):
        inputs.fence.hold(service, inputs.conf.state_path, inputs.stopping)


def register(
    records: Records, database: Database, identity: Identity, stopping: threading.Event
) -> RegisteredService:
    def register() -> RegisteredService:
        try:
            return RegisteredService(
                records,
                identity.host,
                identity.binary,
                zone=identity.zone,
                rpc_version=identity.rpc_version,
                cluster=identity.cluster,
            )
        except OtherCluster as error:
            raise StartRefused(str(error)) from error
        except db_exception.DBError as error:
            why = str(error).splitlines()[0]
            text = f"{database.shown} cannot be used: {why}; run: holdfast db sync"
            raise StartRefused(text) from error

    return when_available(register, stopping)
