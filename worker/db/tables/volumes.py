# SPDX-License-Identifier: Apache-2.0
"""Volumes, snapshots, attachments and their metadata (spec/schema)."""

from __future__ import annotations

import sqlalchemy as sa

from worker.db.tables.base import flag, integer, key, metadata, moment, soft, text

volumes = sa.Table(
    "volumes",
    metadata,
    *soft(),
    text("id", 36, primary=True),
    text("ec2_id", 255),
    text("user_id", 255),
    text("project_id", 255),
    text("host", 255),
    integer("size"),
    text("availability_zone", 255),
    text("status", 255),
    text("attach_status", 255),
    moment("scheduled_at"),
    moment("launched_at"),
    moment("terminated_at"),
    text("display_name", 255),
    text("display_description", 255),
    text("provider_location", 256),
    text("provider_auth", 256),
    text("snapshot_id", 36),
    text("volume_type_id", 36, required=True),
    text("source_volid", 36),
    flag("bootable"),
    text("provider_geometry", 255),
    text("_name_id", 36),
    text("encryption_key_id", 36),
    text("migration_status", 255),
    text("replication_status", 255),
    text("replication_extended_status", 255),
    text("replication_driver_data", 255),
    text("consistencygroup_id", 36, refers="consistencygroups.id"),
    text("provider_id", 255),
    flag("multiattach"),
    text("previous_status", 255),
    text("cluster_name", 255),
    text("group_id", 36, refers="groups.id"),
    text("service_uuid", 36, refers="services.uuid"),
    flag("shared_targets"),
    flag("use_quota", required=True, default=True),
    sa.Index("ix_volumes_consistencygroup_id", "consistencygroup_id"),
    sa.Index("volumes_service_uuid_idx", "service_uuid", "deleted"),
    sa.Index("ix_volumes_group_id", "group_id"),
    sa.Index("volumes_deleted_project_id_idx", "deleted", "project_id"),
    sa.Index("volumes_deleted_host_idx", "deleted", "host"),
)

snapshots = sa.Table(
    "snapshots",
    metadata,
    *soft(),
    text("id", 36, primary=True),
    text("volume_id", 36, required=True, refers="volumes.id"),
    text("user_id", 255),
    text("project_id", 255),
    text("status", 255),
    text("progress", 255),
    integer("volume_size"),
    moment("scheduled_at"),
    text("display_name", 255),
    text("display_description", 255),
    text("provider_location", 255),
    text("encryption_key_id", 36),
    text("volume_type_id", 36, required=True),
    text("cgsnapshot_id", 36, refers="cgsnapshots.id"),
    text("provider_id", 255),
    text("provider_auth", 255),
    text("group_snapshot_id", 36, refers="group_snapshots.id"),
    flag("use_quota", required=True, default=True),
    sa.Index("ix_snapshots_volume_id", "volume_id"),
    sa.Index("ix_snapshots_group_snapshot_id", "group_snapshot_id"),
    sa.Index("ix_snapshots_cgsnapshot_id", "cgsnapshot_id"),
    sa.Index("snapshots_deleted_project_id_idx", "deleted", "project_id"),
)

volume_attachment = sa.Table(
    "volume_attachment",
    metadata,
    *soft(),
    text("id", 36, primary=True),
    text("volume_id", 36, required=True, refers="volumes.id"),
    text("attached_host", 255),
    text("instance_uuid", 36),
    text("mountpoint", 255),
    moment("attach_time"),
    moment("detach_time"),
    text("attach_mode", 36),
    text("attach_status", 255),
    text("connection_info", None),
    text("connector", None),
    sa.Index("ix_volume_attachment_volume_id", "volume_id"),
)

attachment_specs = sa.Table(
    "attachment_specs",
    metadata,
    *soft(),
    key(),
    text("attachment_id", 36, required=True, refers="volume_attachment.id"),
    text("key", 255),
    text("value", 255),
    sa.Index("ix_attachment_specs_attachment_id", "attachment_id"),
)

volume_metadata = sa.Table(
    "volume_metadata",
    metadata,
    *soft(),
    key(),
    text("volume_id", 36, required=True, refers="volumes.id"),
    text("key", 255),
    text("value", 255),
    sa.Index("ix_volume_metadata_volume_id", "volume_id"),
)

volume_admin_metadata = sa.Table(
    "volume_admin_metadata",
    metadata,
    *soft(),
    key(),
    text("volume_id", 36, required=True, refers="volumes.id"),
    text("key", 255),
    text("value", 255),
    sa.Index("ix_volume_admin_metadata_volume_id", "volume_id"),
)

snapshot_metadata = sa.Table(
    "snapshot_metadata",
    metadata,
    *soft(),
    key(),
    text("snapshot_id", 36, required=True, refers="snapshots.id"),
    text("key", 255),
    text("value", 255),
    sa.Index("ix_snapshot_metadata_snapshot_id", "snapshot_id"),
)

volume_glance_metadata = sa.Table(
    "volume_glance_metadata",
    metadata,
    *soft(),
    key(),
    text("volume_id", 36, refers="volumes.id"),
    text("snapshot_id", 36, refers="snapshots.id"),
    text("key", 255),
    text("value", None),
    sa.Index("ix_volume_glance_metadata_snapshot_id", "snapshot_id"),
    sa.Index("ix_volume_glance_metadata_volume_id", "volume_id"),
)

transfers = sa.Table(
    "transfers",
    metadata,
    *soft(),
    text("id", 36, primary=True),
    text("volume_id", 36, required=True, refers="volumes.id"),
    text("display_name", 255),
    text("salt", 255),
    text("crypt_hash", 255),
    moment("expires_at"),
    flag("no_snapshots"),
    text("source_project_id", 255),
    text("destination_project_id", 255),
    flag("accepted"),
    sa.Index("ix_transfers_volume_id", "volume_id"),
)

image_volume_cache_entries = sa.Table(
    "image_volume_cache_entries",
    metadata,
    moment("image_updated_at"),
    key(),
    text("host", 255, required=True),
    text("image_id", 36, required=True),
    text("volume_id", 36, required=True),
    integer("size", required=True),
    moment("last_used", required=True),
    text("cluster_name", 255),
    sa.Index("ix_image_volume_cache_entries_image_id", "image_id"),
    sa.Index("ix_image_volume_cache_entries_host", "host"),
)

driver_initiator_data = sa.Table(
    "driver_initiator_data",
    metadata,
    moment("created_at"),
    moment("updated_at"),
    key(),
    text("initiator", 255, required=True),
    text("namespace", 255, required=True),
    text("key", 255, required=True),
    text("value", 255),
    sa.UniqueConstraint("initiator", "namespace", "key"),
    sa.Index("ix_driver_initiator_data_initiator", "initiator"),
)
