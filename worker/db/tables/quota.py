# SPDX-License-Identifier: Apache-2.0
"""Quota: limits, use, reservations (spec/schema)."""

from __future__ import annotations

import sqlalchemy as sa

from worker.db.tables.base import flag, integer, key, metadata, moment, soft, text

quota_usages = sa.Table(
    "quota_usages",
    metadata,
    *soft(),
    key(),
    text("project_id", 255),
    text("resource", 300),
    integer("in_use", required=True),
    integer("reserved", required=True),
    integer("until_refresh"),
    flag("race_preventer"),
    sa.UniqueConstraint("project_id", "resource", "race_preventer"),
    sa.Index("quota_usage_project_resource_idx", "project_id", "resource"),
    sa.Index("ix_quota_usages_project_id", "project_id"),
)

reservations = sa.Table(
    "reservations",
    metadata,
    *soft(),
    key(),
    text("uuid", 36, required=True),
    integer("usage_id", refers="quota_usages.id"),
    text("project_id", 255),
    text("resource", 300),
    integer("delta", required=True),
    moment("expire"),
    sa.Index("ix_reservations_project_id", "project_id"),
    sa.Index("reservations_deleted_expire_idx", "deleted", "expire"),
    sa.Index("ix_reservations_usage_id", "usage_id"),
    sa.Index("reservations_deleted_uuid_idx", "deleted", "uuid"),
)

quotas = sa.Table(
    "quotas",
    metadata,
    *soft(),
    key(),
    text("project_id", 255),
    text("resource", 300, required=True),
    integer("hard_limit"),
)

quota_classes = sa.Table(
    "quota_classes",
    metadata,
    *soft(),
    key(),
    text("class_name", 255),
    text("resource", 300),
    integer("hard_limit"),
    sa.Index("ix_quota_classes_class_name", "class_name"),
)
