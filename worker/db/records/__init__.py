# SPDX-License-Identifier: Apache-2.0
"""Named queries of flows, services and the command line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

from oslo_config import cfg

from worker.db import models
from worker.db.criteria import BackendRows
from worker.db.database import Database
from worker.db.records.backup import Backups
from worker.db.records.groups.group import Groups
from worker.db.records.groups.group_snapshot import GroupSnapshots
from worker.db.records.message import Messages
from worker.db.records.purged_rows import PurgedRows
from worker.db.records.quotas.quota import Quotas
from worker.db.records.quotas.usage_check import UsageChecks
from worker.db.records.services.host import HostRecords
from worker.db.records.services.host_names import HostNames
from worker.db.records.services.membership import Membership
from worker.db.records.services.service import Services
from worker.db.records.services.work import Owner, WorkRows
from worker.db.records.stored_rows import StoredRows
from worker.db.records.transient import TransientRows, of_service
from worker.db.records.volume_types import VolumeTypes
from worker.db.records.volumes.attachment import Attachments
from worker.db.records.volumes.image_cache import ImageCacheEntries
from worker.db.records.volumes.initiator import Initiators
from worker.db.records.volumes.snapshot import Snapshots
from worker.db.records.volumes.volume import Volumes

DEFAULT_TYPE = "__DEFAULT__"

LIMITS = {
    "volumes": "quota_volumes",
    "snapshots": "quota_snapshots",
    "gigabytes": "quota_gigabytes",
    "groups": "quota_groups",
    "backups": "quota_backups",
    "backup_gigabytes": "quota_backup_gigabytes",
    "per_volume_gigabytes": "per_volume_size_limit",
}
"""Resources and the options that limit them."""


class CommonRecords(TypedDict):
    """Rows that flows of every kind use: fields of ``flows.context.OperationContext``."""

    volumes: Volumes
    snapshots: Snapshots
    backups: Backups
    messages: Messages
    workers: WorkRows


class Records:
    """All records over one database.

    :param default_volume_type: name of the type of volumes that are created without one.
    :param message_ttl: seconds that a user message is kept.
    :param limits: of quota, by resource, where the database has none; -1 means none.
    :param reservation_expire: seconds that an open reservation of quota holds.
    :param no_snapshot_gb_quota: whether snapshots do not count as gigabytes.
    """

    def __init__(
        self,
        database: Database,
        *,
        volume_name_template: str = "volume-%s",
        snapshot_name_template: str = "snapshot-%s",
        default_volume_type: str = DEFAULT_TYPE,
        message_ttl: int = 2592000,
        limits: Mapping[str, int] | None = None,
        reservation_expire: int = 86400,
        no_snapshot_gb_quota: bool = False,
        enable_new_services: bool = True,
    ) -> None:
        self._database = database
        self.volumes = Volumes(
            database, name_template=volume_name_template, default_type=default_volume_type
        )
        self.snapshots = Snapshots(database, self.volumes, name_template=snapshot_name_template)
        self.groups = Groups(database, self.volumes, models.groups, "group_id")
        self.consistencygroups = Groups(
            database, self.volumes, models.consistencygroups, "consistencygroup_id"
        )
        self.group_snapshots = GroupSnapshots(
            database,
            self.groups,
            self.snapshots,
            models.group_snapshots,
            group="group_id",
            member="group_snapshot_id",
        )
        self.cgsnapshots = GroupSnapshots(
            database,
            self.consistencygroups,
            self.snapshots,
            models.cgsnapshots,
            group="consistencygroup_id",
            member="cgsnapshot_id",
        )
        self.by_group_kind: Mapping[str, Any] = {
            "group": self.groups,
            "group_snapshot": self.group_snapshots,
            "consistencygroup": self.consistencygroups,
            "cgsnapshot": self.cgsnapshots,
        }
        self.backups = Backups(database)
        self.attachments = Attachments(database)
        self.image_cache = ImageCacheEntries(database)
        self.workers = WorkRows(database)
        self.messages = Messages(database, ttl=message_ttl)
        self.initiators = Initiators(database)
        self.services = Services(database, enable_new=enable_new_services)
        self.membership = Membership(database)
        self.host_names = HostNames(database)
        self.stored = StoredRows(database)
        self.purged = PurgedRows(database)
        self.volume_types = VolumeTypes(database)
        self.usage_checks = UsageChecks(database, count_snapshots=not no_snapshot_gb_quota)
        self.quotas = Quotas(
            database,
            limits=limits or {},
            expire=reservation_expire,
            count_snapshots=not no_snapshot_gb_quota,
        )

    def work_of(self, owner: Owner) -> WorkRows:
        """Return the work rows, claimed for a service."""
        return WorkRows(self._database, owner)

    def of_flows(self, owner: Owner | None = None) -> CommonRecords:
        """Return the records of every context of flows.

        :param owner: the service that claims work rows; None for flows that claim none.
        """
        return {
            "volumes": self.volumes,
            "snapshots": self.snapshots,
            "backups": self.backups,
            "messages": self.messages,
            "workers": self.workers if owner is None else self.work_of(owner),
        }

    def transient(self, binary: str, place: BackendRows) -> list[TransientRows]:
        """Return the transient statuses of the resources of a service."""
        return [*of_service(self._database, binary, place)]

    def on_host(self, place: BackendRows | str) -> HostRecords:
        """Return the records of a backend's resources."""
        rows = (self.volumes, self.snapshots, self.by_group_kind)
        return HostRecords(self._database, BackendRows.of(place), *rows)

    @classmethod
    def from_conf(cls, conf: cfg.ConfigOpts, database: Database) -> Records:
        """Read the options that records depend on."""
        return cls(
            database,
            volume_name_template=conf.volume_name_template,
            snapshot_name_template=conf.snapshot_name_template,
            default_volume_type=conf.default_volume_type or DEFAULT_TYPE,
            message_ttl=conf.message_ttl,
            limits={name: conf[option] for name, option in LIMITS.items() if option in conf},
            reservation_expire=conf.reservation_expire,
            no_snapshot_gb_quota=conf.no_snapshot_gb_quota,
            enable_new_services=conf.enable_new_services,
        )
