# SPDX-License-Identifier: Apache-2.0
"""The tables of services, types and quota, as Cinder 29.0.0 has them."""

from __future__ import annotations

import sqlalchemy as sa

from worker.db.migrations.creation import PRECISE, create, soft

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the tables in the order of their references."""
    _services()
    _clusters()
    _workers()
    _messages()
    _quality_of_service_specs()
    _volume_types()
    _volume_type_extra_specs()
    _encryption()
    _quotas()
    _quota_classes()
    _quota_usages()
    _reservations()


def _services() -> None:
    create(
        "services",
        *soft(),
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("host", sa.String(255)),
        sa.Column("binary", sa.String(255)),
        sa.Column("topic", sa.String(255)),
        sa.Column("report_count", sa.Integer(), nullable=False),
        sa.Column("disabled", sa.Boolean()),
        sa.Column("availability_zone", sa.String(255)),
        sa.Column("disabled_reason", sa.String(255)),
        sa.Column("modified_at", sa.DateTime()),
        sa.Column("rpc_current_version", sa.String(36)),
        sa.Column("object_current_version", sa.String(36)),
        sa.Column("replication_status", sa.String(36)),
        sa.Column("frozen", sa.Boolean()),
        sa.Column("active_backend_id", sa.String(255)),
        sa.Column("cluster_name", sa.String(255)),
        sa.Column("uuid", sa.String(36)),
        sa.UniqueConstraint("uuid"),
    )


def _clusters() -> None:
    create(
        "clusters",
        *soft(),
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("binary", sa.String(255), nullable=False),
        sa.Column("disabled", sa.Boolean()),
        sa.Column("disabled_reason", sa.String(255)),
        sa.Column("race_preventer", sa.Integer(), nullable=False),
        sa.Column("replication_status", sa.String(36)),
        sa.Column("active_backend_id", sa.String(255)),
        sa.Column("frozen", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.UniqueConstraint("name", "binary", "race_preventer"),
    )


def _workers() -> None:
    create(
        "workers",
        *soft(PRECISE),
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("resource_type", sa.String(40), nullable=False),
        sa.Column("resource_id", sa.String(36), nullable=False),
        sa.Column("status", sa.String(255), nullable=False),
        sa.Column("service_id", sa.Integer(), sa.ForeignKey("services.id")),
        sa.Column("race_preventer", sa.Integer(), nullable=False, server_default="0"),
        sa.UniqueConstraint("resource_type", "resource_id"),
        indexes={
            "ix_workers_service_id": ["service_id"],
        },
    )


def _messages() -> None:
    create(
        "messages",
        *soft(),
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("project_id", sa.String(255), nullable=False),
        sa.Column("request_id", sa.String(255)),
        sa.Column("resource_type", sa.String(36)),
        sa.Column("resource_uuid", sa.String(255)),
        sa.Column("event_id", sa.String(255), nullable=False),
        sa.Column("message_level", sa.String(255), nullable=False),
        sa.Column("expires_at", sa.DateTime()),
        sa.Column("detail_id", sa.String(10)),
        sa.Column("action_id", sa.String(10)),
        indexes={
            "ix_messages_expires_at": ["expires_at"],
        },
    )


def _quality_of_service_specs() -> None:
    create(
        "quality_of_service_specs",
        *soft(),
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("specs_id", sa.String(36), sa.ForeignKey("quality_of_service_specs.id")),
        sa.Column("key", sa.String(255)),
        sa.Column("value", sa.String(255)),
        indexes={
            "ix_quality_of_service_specs_specs_id": ["specs_id"],
        },
    )


def _volume_types() -> None:
    create(
        "volume_types",
        *soft(),
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("name", sa.String(255)),
        sa.Column("qos_specs_id", sa.String(36), sa.ForeignKey("quality_of_service_specs.id")),
        sa.Column("is_public", sa.Boolean()),
        sa.Column("description", sa.String(255)),
        indexes={
            "ix_volume_types_qos_specs_id": ["qos_specs_id"],
        },
    )


def _volume_type_extra_specs() -> None:
    create(
        "volume_type_extra_specs",
        *soft(),
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column(
            "volume_type_id", sa.String(36), sa.ForeignKey("volume_types.id"), nullable=False
        ),
        sa.Column("key", sa.String(255)),
        sa.Column("value", sa.String(255)),
        indexes={
            "ix_volume_type_extra_specs_volume_type_id": ["volume_type_id"],
        },
    )


def _encryption() -> None:
    create(
        "encryption",
        *soft(),
        sa.Column("cipher", sa.String(255)),
        sa.Column("control_location", sa.String(255), nullable=False),
        sa.Column("key_size", sa.Integer()),
        sa.Column("provider", sa.String(255), nullable=False),
        sa.Column("volume_type_id", sa.String(36), nullable=False),
        sa.Column("encryption_id", sa.String(36), primary_key=True),
    )


def _quotas() -> None:
    create(
        "quotas",
        *soft(),
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("project_id", sa.String(255)),
        sa.Column("resource", sa.String(300), nullable=False),
        sa.Column("hard_limit", sa.Integer()),
    )


def _quota_classes() -> None:
    create(
        "quota_classes",
        *soft(),
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("class_name", sa.String(255)),
        sa.Column("resource", sa.String(300)),
        sa.Column("hard_limit", sa.Integer()),
        indexes={
            "ix_quota_classes_class_name": ["class_name"],
        },
    )


def _quota_usages() -> None:
    create(
        "quota_usages",
        *soft(),
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("project_id", sa.String(255)),
        sa.Column("resource", sa.String(300)),
        sa.Column("in_use", sa.Integer(), nullable=False),
        sa.Column("reserved", sa.Integer(), nullable=False),
        sa.Column("until_refresh", sa.Integer()),
        sa.Column("race_preventer", sa.Boolean()),
        sa.UniqueConstraint("project_id", "resource", "race_preventer"),
        indexes={
            "ix_quota_usages_project_id": ["project_id"],
            "quota_usage_project_resource_idx": ["project_id", "resource"],
        },
    )


def _reservations() -> None:
    create(
        "reservations",
        *soft(),
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("uuid", sa.String(36), nullable=False),
        sa.Column("usage_id", sa.Integer(), sa.ForeignKey("quota_usages.id")),
        sa.Column("project_id", sa.String(255)),
        sa.Column("resource", sa.String(300)),
        sa.Column("delta", sa.Integer(), nullable=False),
        sa.Column("expire", sa.DateTime()),
        indexes={
            "ix_reservations_project_id": ["project_id"],
            "ix_reservations_usage_id": ["usage_id"],
            "reservations_deleted_expire_idx": ["deleted", "expire"],
            "reservations_deleted_uuid_idx": ["deleted", "uuid"],
        },
    )
