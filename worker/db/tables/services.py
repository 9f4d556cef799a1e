# SPDX-License-Identifier: Apache-2.0
"""Services, work in progress, messages (spec/schema)."""

from __future__ import annotations

import sqlalchemy as sa

from worker.db.tables.base import flag, integer, key, metadata, moment, soft, text

services = sa.Table(
    "services",
    metadata,
    *soft(),
    key(),
    text("host", 255),
    text("binary", 255),
    text("topic", 255),
    integer("report_count", required=True),
    flag("disabled"),
    text("availability_zone", 255),
    text("disabled_reason", 255, prose=True),
    moment("modified_at"),
    text("rpc_current_version", 36),
    text("object_current_version", 36),
    text("replication_status", 36),
    flag("frozen"),
    text("active_backend_id", 255),
    text("cluster_name", 255),
    text("uuid", 36),
    sa.UniqueConstraint("uuid"),
)

clusters = sa.Table(
    "clusters",
    metadata,
    *soft(),
    key(),
    text("name", 255, required=True),
    text("binary", 255, required=True),
    flag("disabled"),
    text("disabled_reason", 255, prose=True),
    integer("race_preventer", required=True),
    text("replication_status", 36),
    text("active_backend_id", 255),
    flag("frozen", required=True, default=False),
    sa.UniqueConstraint("name", "binary", "race_preventer"),
)

workers = sa.Table(
    "workers",
    metadata,
    *soft(precise=True),
    key(),
    text("resource_type", 40, required=True),
    text("resource_id", 36, required=True),
    text("status", 255, required=True),
    integer("service_id", refers="services.id"),
    integer("race_preventer", required=True, default=0),
    sa.UniqueConstraint("resource_type", "resource_id"),
    sa.Index("ix_workers_service_id", "service_id"),
)

messages = sa.Table(
    "messages",
    metadata,
    *soft(),
    text("id", 36, primary=True),
    text("project_id", 255, required=True),
    text("request_id", 255, prose=True),
    text("resource_type", 36),
    text("resource_uuid", 255),
    text("event_id", 255, required=True),
    text("message_level", 255, required=True),
    moment("expires_at"),
    text("detail_id", 10),
    text("action_id", 10),
    sa.Index("ix_messages_expires_at", "expires_at"),
)
