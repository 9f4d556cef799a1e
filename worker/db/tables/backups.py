# SPDX-License-Identifier: Apache-2.0
"""Backups (spec/schema)."""

from __future__ import annotations

import sqlalchemy as sa

from worker.db.tables.base import integer, key, metadata, moment, soft, text

backups = sa.Table(
    "backups",
    metadata,
    *soft(),
    text("id", 36, primary=True),
    text("volume_id", 36, required=True),
    text("user_id", 255),
    text("project_id", 255),
    text("host", 255),
    text("availability_zone", 255),
    text("display_name", 255),
    text("display_description", 255),
    text("container", 255),
    text("status", 255),
    text("fail_reason", 255, prose=True),
    text("service_metadata", 255),
    text("service", 255),
    integer("size"),
    integer("object_count"),
    text("parent_id", 36),
    text("temp_volume_id", 36),
    text("temp_snapshot_id", 36),
    integer("num_dependent_backups"),
    text("snapshot_id", 36),
    moment("data_timestamp"),
    text("restore_volume_id", 36),
    text("encryption_key_id", 36),
    sa.Index("backups_deleted_project_id_idx", "deleted", "project_id"),
)

backup_metadata = sa.Table(
    "backup_metadata",
    metadata,
    *soft(),
    key(),
    text("backup_id", 36, required=True, refers="backups.id"),
    text("key", 255),
    text("value", 255),
    sa.Index("ix_backup_metadata_backup_id", "backup_id"),
)
