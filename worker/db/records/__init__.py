# SPDX-License-Identifier: Apache-2.0
"""Queries with names: what flows, services and the command line ask of the database."""

from __future__ import annotations

from oslo_config import cfg

from worker.db.engine import Database
from worker.db.records.attachment import Attachments
from worker.db.records.initiator import Initiators
from worker.db.records.message import Messages
from worker.db.records.service import Services
from worker.db.records.snapshot import Snapshots
from worker.db.records.volume import Volumes
from worker.db.records.work import WorkRows


class Records:
    """All records over one database."""

    def __init__(
        self,
        database: Database,
        *,
        volume_name_template: str = "volume-%s",
        snapshot_name_template: str = "snapshot-%s",
        default_volume_type: str = "__DEFAULT__",
        message_ttl: int = 2592000,
    ) -> None:
        self.volumes = Volumes(
            database, name_template=volume_name_template, default_type=default_volume_type
        )
        self.snapshots = Snapshots(database, self.volumes, name_template=snapshot_name_template)
        self.attachments = Attachments(database)
        self.workers = WorkRows(database)
        self.messages = Messages(database, ttl=message_ttl)
        self.initiators = Initiators(database)
        self.services = Services(database)

    @classmethod
    def from_conf(cls, conf: cfg.ConfigOpts, database: Database) -> Records:
        """Read the options that records depend on."""
        return cls(
            database,
            volume_name_template=conf.volume_name_template,
            snapshot_name_template=conf.snapshot_name_template,
            default_volume_type=conf.default_volume_type or "__DEFAULT__",
            message_ttl=conf.message_ttl,
        )
