# SPDX-License-Identifier: Apache-2.0
"""Volume types, their specifications, quality of service, encryption (spec/schema)."""

from __future__ import annotations

import sqlalchemy as sa

from worker.db.tables.base import flag, integer, key, metadata, moment, soft, text

volume_types = sa.Table(
    "volume_types",
    metadata,
    *soft(),
    text("id", 36, primary=True),
    text("name", 255),
    text("qos_specs_id", 36, refers="quality_of_service_specs.id"),
    flag("is_public"),
    text("description", 255),
    sa.Index("ix_volume_types_qos_specs_id", "qos_specs_id"),
)

volume_type_extra_specs = sa.Table(
    "volume_type_extra_specs",
    metadata,
    *soft(),
    key(),
    text("volume_type_id", 36, required=True, refers="volume_types.id"),
    text("key", 255),
    text("value", 255),
    sa.Index("ix_volume_type_extra_specs_volume_type_id", "volume_type_id"),
)

volume_type_projects = sa.Table(
    "volume_type_projects",
    metadata,
    key(),
    moment("created_at"),
    moment("updated_at"),
    moment("deleted_at"),
    text("volume_type_id", 36, refers="volume_types.id"),
    text("project_id", 255),
    integer("deleted"),  # the row's id in Cinder, so that a pair may be deleted twice
    sa.UniqueConstraint("volume_type_id", "project_id", "deleted"),
)

default_volume_types = sa.Table(
    "default_volume_types",
    metadata,
    *soft(),
    text("volume_type_id", 36, refers="volume_types.id"),
    text("project_id", 255, primary=True),
    sa.Index("ix_default_volume_types_volume_type_id", "volume_type_id"),
)

quality_of_service_specs = sa.Table(
    "quality_of_service_specs",
    metadata,
    *soft(),
    text("id", 36, primary=True),
    text("specs_id", 36, refers="quality_of_service_specs.id"),
    text("key", 255),
    text("value", 255),
    sa.Index("ix_quality_of_service_specs_specs_id", "specs_id"),
)

encryption = sa.Table(
    "encryption",
    metadata,
    *soft(),
    text("cipher", 255),
    text("control_location", 255, required=True),
    integer("key_size"),
    text("provider", 255, required=True),
    text("volume_type_id", 36, required=True),
    text("encryption_id", 36, primary=True),
)
