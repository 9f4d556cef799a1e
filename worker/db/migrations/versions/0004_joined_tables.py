# SPDX-License-Identifier: Apache-2.0
"""The tables that only Cinder's objects join, as Cinder 29.0.0 has them."""

from __future__ import annotations

import sqlalchemy as sa

from worker.db.migrations.creation import create, soft

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Create the tables; those that they refer to exist."""
    _attachment_specs()
    _volume_type_projects()
    _group_type_projects()
    _default_volume_types()


def _attachment_specs() -> None:
    create(
        "attachment_specs",
        *soft(),
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column(
            "attachment_id", sa.String(36), sa.ForeignKey("volume_attachment.id"), nullable=False
        ),
        sa.Column("key", sa.String(255)),
        sa.Column("value", sa.String(255)),
        indexes={
            "ix_attachment_specs_attachment_id": ["attachment_id"],
        },
    )


def _volume_type_projects() -> None:
    create(
        "volume_type_projects",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("created_at", sa.DateTime()),
        sa.Column("updated_at", sa.DateTime()),
        sa.Column("deleted_at", sa.DateTime()),
        sa.Column("volume_type_id", sa.String(36), sa.ForeignKey("volume_types.id")),
        sa.Column("project_id", sa.String(255)),
        sa.Column("deleted", sa.Integer()),
        sa.UniqueConstraint("volume_type_id", "project_id", "deleted"),
    )


def _group_type_projects() -> None:
    create(
        "group_type_projects",
        *soft(),
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("group_type_id", sa.String(36), sa.ForeignKey("group_types.id")),
        sa.Column("project_id", sa.String(255)),
        sa.UniqueConstraint("group_type_id", "project_id", "deleted"),
    )


def _default_volume_types() -> None:
    create(
        "default_volume_types",
        *soft(),
        sa.Column("volume_type_id", sa.String(36), sa.ForeignKey("volume_types.id")),
        sa.Column("project_id", sa.String(255), primary_key=True),
        indexes={
            "ix_default_volume_types_volume_type_id": ["volume_type_id"],
        },
    )
