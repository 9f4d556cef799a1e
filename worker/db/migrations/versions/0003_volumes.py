# SPDX-License-Identifier: Apache-2.0
"""The tables of volumes, as Cinder 29.0.0 has them."""

from __future__ import annotations

import sqlalchemy as sa

from worker.db.migrations.creation import create, soft

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create the tables in the order of their references."""
    _volumes()
    _snapshots()
    _volume_attachment()
    _volume_metadata()
    _volume_admin_metadata()
    _snapshot_metadata()
    _volume_glance_metadata()
    _transfers()


def _volumes() -> None:
    create(
        "volumes",
        *soft(),
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("ec2_id", sa.String(255)),
        sa.Column("user_id", sa.String(255)),
        sa.Column("project_id", sa.String(255)),
        sa.Column("host", sa.String(255)),
        sa.Column("size", sa.Integer()),
        sa.Column("availability_zone", sa.String(255)),
        sa.Column("status", sa.String(255)),
        sa.Column("attach_status", sa.String(255)),
        sa.Column("scheduled_at", sa.DateTime()),
        sa.Column("launched_at", sa.DateTime()),
        sa.Column("terminated_at", sa.DateTime()),
        sa.Column("display_name", sa.String(255)),
        sa.Column("display_description", sa.String(255)),
        sa.Column("provider_location", sa.String(256)),
        sa.Column("provider_auth", sa.String(256)),
        sa.Column("snapshot_id", sa.String(36)),
        sa.Column("volume_type_id", sa.String(36), nullable=False),
        sa.Column("source_volid", sa.String(36)),
        sa.Column("bootable", sa.Boolean()),
        sa.Column("provider_geometry", sa.String(255)),
        sa.Column("_name_id", sa.String(36)),
        sa.Column("encryption_key_id", sa.String(36)),
        sa.Column("migration_status", sa.String(255)),
        sa.Column("replication_status", sa.String(255)),
        sa.Column("replication_extended_status", sa.String(255)),
        sa.Column("replication_driver_data", sa.String(255)),
        sa.Column("consistencygroup_id", sa.String(36), sa.ForeignKey("consistencygroups.id")),
        sa.Column("provider_id", sa.String(255)),
        sa.Column("multiattach", sa.Boolean()),
        sa.Column("previous_status", sa.String(255)),
        sa.Column("cluster_name", sa.String(255)),
        sa.Column("group_id", sa.String(36), sa.ForeignKey("groups.id")),
        sa.Column("service_uuid", sa.String(36), sa.ForeignKey("services.uuid")),
        sa.Column("shared_targets", sa.Boolean()),
        sa.Column("use_quota", sa.Boolean(), nullable=False, server_default=sa.true()),
        indexes={
            "ix_volumes_consistencygroup_id": ["consistencygroup_id"],
            "ix_volumes_group_id": ["group_id"],
            "volumes_deleted_host_idx": ["deleted", "host"],
            "volumes_deleted_project_id_idx": ["deleted", "project_id"],
            "volumes_service_uuid_idx": ["service_uuid", "deleted"],
        },
    )


def _snapshots() -> None:
    create(
        "snapshots",
        *soft(),
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("volume_id", sa.String(36), sa.ForeignKey("volumes.id"), nullable=False),
        sa.Column("user_id", sa.String(255)),
        sa.Column("project_id", sa.String(255)),
        sa.Column("status", sa.String(255)),
        sa.Column("progress", sa.String(255)),
        sa.Column("volume_size", sa.Integer()),
        sa.Column("scheduled_at", sa.DateTime()),
        sa.Column("display_name", sa.String(255)),
        sa.Column("display_description", sa.String(255)),
        sa.Column("provider_location", sa.String(255)),
        sa.Column("encryption_key_id", sa.String(36)),
        sa.Column("volume_type_id", sa.String(36), nullable=False),
        sa.Column("cgsnapshot_id", sa.String(36), sa.ForeignKey("cgsnapshots.id")),
        sa.Column("provider_id", sa.String(255)),
        sa.Column("provider_auth", sa.String(255)),
        sa.Column("group_snapshot_id", sa.String(36), sa.ForeignKey("group_snapshots.id")),
        sa.Column("use_quota", sa.Boolean(), nullable=False, server_default=sa.true()),
        indexes={
            "ix_snapshots_cgsnapshot_id": ["cgsnapshot_id"],
            "ix_snapshots_group_snapshot_id": ["group_snapshot_id"],
            "ix_snapshots_volume_id": ["volume_id"],
            "snapshots_deleted_project_id_idx": ["deleted", "project_id"],
        },
    )


def _volume_attachment() -> None:
    create(
        "volume_attachment",
        *soft(),
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("volume_id", sa.String(36), sa.ForeignKey("volumes.id"), nullable=False),
        sa.Column("attached_host", sa.String(255)),
        sa.Column("instance_uuid", sa.String(36)),
        sa.Column("mountpoint", sa.String(255)),
        sa.Column("attach_time", sa.DateTime()),
        sa.Column("detach_time", sa.DateTime()),
        sa.Column("attach_mode", sa.String(36)),
        sa.Column("attach_status", sa.String(255)),
        sa.Column("connection_info", sa.Text()),
        sa.Column("connector", sa.Text()),
        indexes={
            "ix_volume_attachment_volume_id": ["volume_id"],
        },
    )


def _volume_metadata() -> None:
    create(
        "volume_metadata",
        *soft(),
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("volume_id", sa.String(36), sa.ForeignKey("volumes.id"), nullable=False),
        sa.Column("key", sa.String(255)),
        sa.Column("value", sa.String(255)),
        indexes={
            "ix_volume_metadata_volume_id": ["volume_id"],
        },
    )


def _volume_admin_metadata() -> None:
    create(
        "volume_admin_metadata",
        *soft(),
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("volume_id", sa.String(36), sa.ForeignKey("volumes.id"), nullable=False),
        sa.Column("key", sa.String(255)),
        sa.Column("value", sa.String(255)),
        indexes={
            "ix_volume_admin_metadata_volume_id": ["volume_id"],
        },
    )


def _snapshot_metadata() -> None:
    create(
        "snapshot_metadata",
        *soft(),
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("snapshot_id", sa.String(36), sa.ForeignKey("snapshots.id"), nullable=False),
        sa.Column("key", sa.String(255)),
        sa.Column("value", sa.String(255)),
        indexes={
            "ix_snapshot_metadata_snapshot_id": ["snapshot_id"],
        },
    )


def _volume_glance_metadata() -> None:
    create(
        "volume_glance_metadata",
        *soft(),
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("volume_id", sa.String(36), sa.ForeignKey("volumes.id")),
        sa.Column("snapshot_id", sa.String(36), sa.ForeignKey("snapshots.id")),
        sa.Column("key", sa.String(255)),
        sa.Column("value", sa.Text()),
        indexes={
            "ix_volume_glance_metadata_snapshot_id": ["snapshot_id"],
            "ix_volume_glance_metadata_volume_id": ["volume_id"],
        },
    )


def _transfers() -> None:
    create(
        "transfers",
        *soft(),
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("volume_id", sa.String(36), sa.ForeignKey("volumes.id"), nullable=False),
        sa.Column("display_name", sa.String(255)),
        sa.Column("salt", sa.String(255)),
        sa.Column("crypt_hash", sa.String(255)),
        sa.Column("expires_at", sa.DateTime()),
        sa.Column("no_snapshots", sa.Boolean()),
        sa.Column("source_project_id", sa.String(255)),
        sa.Column("destination_project_id", sa.String(255)),
        sa.Column("accepted", sa.Boolean()),
        indexes={
            "ix_transfers_volume_id": ["volume_id"],
        },
    )
