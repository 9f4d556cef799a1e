# SPDX-License-Identifier: Apache-2.0
"""The tables of groups and backups, as Cinder 29.0.0 has them."""

from __future__ import annotations

import sqlalchemy as sa

from worker.db.migrations.creation import create, soft

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create the tables in the order of their references."""
    _consistencygroups()
    _cgsnapshots()
    _groups()
    _group_snapshots()
    _group_types()
    _group_type_specs()
    _group_volume_type_mapping()
    _backups()
    _backup_metadata()
    _driver_initiator_data()
    _image_volume_cache_entries()


def _consistencygroups() -> None:
    create(
        "consistencygroups",
        *soft(),
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("user_id", sa.String(255)),
        sa.Column("project_id", sa.String(255)),
        sa.Column("host", sa.String(255)),
        sa.Column("availability_zone", sa.String(255)),
        sa.Column("name", sa.String(255)),
        sa.Column("description", sa.String(255)),
        sa.Column("volume_type_id", sa.String(255)),
        sa.Column("status", sa.String(255)),
        sa.Column("cgsnapshot_id", sa.String(36)),
        sa.Column("source_cgid", sa.String(36)),
        sa.Column("cluster_name", sa.String(255)),
    )


def _cgsnapshots() -> None:
    create(
        "cgsnapshots",
        *soft(),
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column(
            "consistencygroup_id",
            sa.String(36),
            sa.ForeignKey("consistencygroups.id"),
            nullable=False,
        ),
        sa.Column("user_id", sa.String(255)),
        sa.Column("project_id", sa.String(255)),
        sa.Column("name", sa.String(255)),
        sa.Column("description", sa.String(255)),
        sa.Column("status", sa.String(255)),
        indexes={
            "ix_cgsnapshots_consistencygroup_id": ["consistencygroup_id"],
        },
    )


def _groups() -> None:
    create(
        "groups",
        *soft(),
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("user_id", sa.String(255)),
        sa.Column("project_id", sa.String(255)),
        sa.Column("cluster_name", sa.String(255)),
        sa.Column("host", sa.String(255)),
        sa.Column("availability_zone", sa.String(255)),
        sa.Column("name", sa.String(255)),
        sa.Column("description", sa.String(255)),
        sa.Column("group_type_id", sa.String(36)),
        sa.Column("status", sa.String(255)),
        sa.Column("group_snapshot_id", sa.String(36)),
        sa.Column("source_group_id", sa.String(36)),
        sa.Column("replication_status", sa.String(255)),
        indexes={
            "groups_deleted_project_id_idx": ["deleted", "project_id"],
        },
    )


def _group_snapshots() -> None:
    create(
        "group_snapshots",
        *soft(),
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("group_id", sa.String(36), sa.ForeignKey("groups.id"), nullable=False),
        sa.Column("user_id", sa.String(255)),
        sa.Column("project_id", sa.String(255)),
        sa.Column("name", sa.String(255)),
        sa.Column("description", sa.String(255)),
        sa.Column("status", sa.String(255)),
        sa.Column("group_type_id", sa.String(36)),
        indexes={
            "group_snapshots_deleted_project_id_idx": ["deleted", "project_id"],
            "ix_group_snapshots_group_id": ["group_id"],
        },
    )


def _group_types() -> None:
    create(
        "group_types",
        *soft(),
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("description", sa.String(255)),
        sa.Column("is_public", sa.Boolean()),
    )


def _group_type_specs() -> None:
    create(
        "group_type_specs",
        *soft(),
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("key", sa.String(255)),
        sa.Column("value", sa.String(255)),
        sa.Column("group_type_id", sa.String(36), sa.ForeignKey("group_types.id"), nullable=False),
        indexes={
            "ix_group_type_specs_group_type_id": ["group_type_id"],
        },
    )


def _group_volume_type_mapping() -> None:
    create(
        "group_volume_type_mapping",
        *soft(),
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column(
            "volume_type_id", sa.String(36), sa.ForeignKey("volume_types.id"), nullable=False
        ),
        sa.Column("group_id", sa.String(36), sa.ForeignKey("groups.id"), nullable=False),
        indexes={
            "ix_group_volume_type_mapping_group_id": ["group_id"],
            "ix_group_volume_type_mapping_volume_type_id": ["volume_type_id"],
        },
    )


def _backups() -> None:
    create(
        "backups",
        *soft(),
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("volume_id", sa.String(36), nullable=False),
        sa.Column("user_id", sa.String(255)),
        sa.Column("project_id", sa.String(255)),
        sa.Column("host", sa.String(255)),
        sa.Column("availability_zone", sa.String(255)),
        sa.Column("display_name", sa.String(255)),
        sa.Column("display_description", sa.String(255)),
        sa.Column("container", sa.String(255)),
        sa.Column("status", sa.String(255)),
        sa.Column("fail_reason", sa.String(255)),
        sa.Column("service_metadata", sa.String(255)),
        sa.Column("service", sa.String(255)),
        sa.Column("size", sa.Integer()),
        sa.Column("object_count", sa.Integer()),
        sa.Column("parent_id", sa.String(36)),
        sa.Column("temp_volume_id", sa.String(36)),
        sa.Column("temp_snapshot_id", sa.String(36)),
        sa.Column("num_dependent_backups", sa.Integer()),
        sa.Column("snapshot_id", sa.String(36)),
        sa.Column("data_timestamp", sa.DateTime()),
        sa.Column("restore_volume_id", sa.String(36)),
        sa.Column("encryption_key_id", sa.String(36)),
        indexes={
            "backups_deleted_project_id_idx": ["deleted", "project_id"],
        },
    )


def _backup_metadata() -> None:
    create(
        "backup_metadata",
        *soft(),
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("backup_id", sa.String(36), sa.ForeignKey("backups.id"), nullable=False),
        sa.Column("key", sa.String(255)),
        sa.Column("value", sa.String(255)),
        indexes={
            "ix_backup_metadata_backup_id": ["backup_id"],
        },
    )


def _driver_initiator_data() -> None:
    create(
        "driver_initiator_data",
        sa.Column("created_at", sa.DateTime()),
        sa.Column("updated_at", sa.DateTime()),
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("initiator", sa.String(255), nullable=False),
        sa.Column("namespace", sa.String(255), nullable=False),
        sa.Column("key", sa.String(255), nullable=False),
        sa.Column("value", sa.String(255)),
        sa.UniqueConstraint("initiator", "namespace", "key"),
        indexes={
            "ix_driver_initiator_data_initiator": ["initiator"],
        },
    )


def _image_volume_cache_entries() -> None:
    create(
        "image_volume_cache_entries",
        sa.Column("image_updated_at", sa.DateTime()),
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("host", sa.String(255), nullable=False),
        sa.Column("image_id", sa.String(36), nullable=False),
        sa.Column("volume_id", sa.String(36), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("last_used", sa.DateTime(), nullable=False),
        sa.Column("cluster_name", sa.String(255)),
        indexes={
            "ix_image_volume_cache_entries_host": ["host"],
            "ix_image_volume_cache_entries_image_id": ["image_id"],
        },
    )
