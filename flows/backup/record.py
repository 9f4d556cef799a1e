# SPDX-License-Identifier: Apache-2.0
"""Export the record of a backup, and import a record of another installation.

======  ============================================  ============================
task    does                                          undone by
======  ============================================  ============================
export  checks that it is ``available`` and ours;     (nothing was changed)
        driver.export_record
take    hands it to a host that has its store, or     ``error`` with the reason
        checks the record; driver.import_record;
        its columns, ``available``, and the parent's
        count
======  ============================================  ============================

The text is Base64 of JSON with every column, as Cinder writes it.

Source: seeds, BackupDriver.export_record, import_record; spec/backup-rpc §5, §5.1.
"""

from __future__ import annotations

import base64
import datetime
import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from taskflow.patterns import linear_flow
from taskflow.types.failure import Failure

from drivers.interface.errors import BackupDriverException
from drivers.interface.records import Record
from flows.backup import imported_record
from flows.backup.restore import require_in_this_store
from flows.claims import Claim
from flows.context import BackupContext
from flows.errors import DriverReturnedRubbish, InvalidBackup, ServiceNotFound, StatusChanged
from flows.factories import registered
from flows.lifecycle import Statuses, Step, cause_of, was_refused
from flows.statuses import BackupStatus
from flows.volume.data import backup_source

LOG = logging.getLogger(__name__)

IMPORT = Statuses(
    during=(BackupStatus.CREATING,),
    success=BackupStatus.AVAILABLE,
    failure={Exception: BackupStatus.ERROR},
)

COLUMNS = (
    *("id", "user_id", "project_id", "volume_id", "host", "availability_zone", "container"),
    *("parent_id", "status", "fail_reason", "size", "display_name", "display_description"),
    *("service_metadata", "service", "object_count", "temp_volume_id", "temp_snapshot_id"),
    *("num_dependent_backups", "snapshot_id", "data_timestamp", "restore_volume_id"),
    *("metadata", "encryption_key_id", "created_at", "updated_at", "deleted_at", "deleted"),
)
"""The content of a record."""


class ExportBackup(Step, task="export"):
    """Make the record. Idempotent: it only reads."""

    default_provides = "result"

    def execute(self, ctx: BackupContext, backup_id: str) -> dict[str, Any]:
        backup = ctx.backups.get(backup_id)
        if backup.status != BackupStatus.AVAILABLE:
            raise InvalidBackup(f"backup {backup_id} is {backup.status}, not available")
        backup_source.require_on_this_host(ctx, backup)
        require_in_this_store(ctx, backup)
        info = ctx.driver.export_record(backup)
        try:
            text = encode(backup, info or {})
        except (TypeError, ValueError) as error:
            who = f"export_record of backup {backup_id}"
            raise DriverReturnedRubbish(
                f"{who} returned values that are not JSON: {error}"
            ) from error
        return {"backup_service": backup.service, "backup_url": text}


class BeginImportBackup(Step, task="begin"):
    """Check that there is a row to fill. Idempotent: it only reads."""

    bookkeeping = True

    def claim(self, args: Mapping[str, Any]) -> Claim | None:
        """Claim the row until it is filled."""
        return Claim("backup", str(args["backup_id"]), IMPORT.during, unmarked=True)

    def execute(self, ctx: BackupContext, backup_id: str) -> None:
        ctx.backups.get(backup_id)

    def revert(
        self, ctx: BackupContext, backup_id: str, result: Any, flow_failures: dict[str, Failure]
    ) -> None:
        backup = ctx.backups.find(backup_id)
        if was_refused(result) or backup is None or backup.deleted:
            return
        backup_source.set_failed(ctx, backup, cause_of(flow_failures), IMPORT)


class ImportRecord(Step, task="take"):
    """Fill the row from the record. Idempotent: the same is written again."""

    def execute(
        self,
        ctx: BackupContext,
        backup_id: str,
        backup_service: str,
        backup_url: str,
        backup_hosts: list[str],
    ) -> None:
        backup = ctx.backups.get(backup_id)
        if not ctx.backend.is_this_store(backup_service):
            forward(ctx, backup, backup_service, backup_url, backup_hosts)
            return
        record = imported_record.decoded(backup_url)
        columns = imported_record.columns(ctx, backup, record)
        info = imported_record.driver_info(record)
        try:
            ctx.driver.import_record(backup.replace(**columns), info)
            ctx.backups.complete(backup_id, when=IMPORT.during, **columns)
        except (BackupDriverException, ValueError) as error:
            raise InvalidBackup(f"the record of backup {backup_id}: {error}") from error
        except StatusChanged as error:
            LOG.info("backup %s is left as it is: %s", backup_id, error)


@registered
def export() -> linear_flow.Flow:
    """Export a record. Needs ``backup_id``."""
    return linear_flow.Flow("export_record").add(ExportBackup())


@registered
def import_() -> linear_flow.Flow:
    """Import a record.

    Needs ``backup_id``, ``backup_service``, ``backup_url``, and ``backup_hosts``: where
    else to look for a service with that store.
    """
    return linear_flow.Flow("import_record").add(BeginImportBackup(), ImportRecord())


def forward(
    ctx: BackupContext, backup: Record, service: str, url: str, hosts: Sequence[str]
) -> None:
    """Hand a record to the next host. :raises ServiceNotFound: there is none left."""
    rest = [host for host in hosts if isinstance(host, str) and host != ctx.backend.host]
    if not rest:
        raise ServiceNotFound(f"no backup service has the store {service} of backup {backup.id}")
    ctx.peers.import_record(ctx.request, rest[-1], backup, service, url, rest[:-1])


def encode(backup: Record, driver_info: Mapping[str, Any]) -> str:
    """Return a backup's record. :raises TypeError: the driver's part is not fit for JSON."""
    facts = {name: _plain(backup.get(name)) for name in COLUMNS}
    facts["metadata"] = dict(backup.get("metadata") or {})
    document = {**dict(driver_info), "driver_info": dict(driver_info), **facts}
    return base64.b64encode(json.dumps(document).encode()).decode()


def _plain(value: Any) -> Any:
    if isinstance(value, datetime.datetime):
        return f"{value.isoformat(timespec='seconds')}Z"
    return value
