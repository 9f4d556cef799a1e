# SPDX-License-Identifier: Apache-2.0
"""Groups of volumes, old and new (spec/schema)."""

from __future__ import annotations

import sqlalchemy as sa

from worker.db.tables.base import flag, key, metadata, soft, text

consistencygroups = sa.Table(
    "consistencygroups",
    metadata,
    *soft(),
    text("id", 36, primary=True),
    text("user_id", 255),
    text("project_id", 255),
    text("host", 255),
    text("availability_zone", 255),
    text("name", 255),
    text("description", 255),
    text("volume_type_id", 255),
    text("status", 255),
    text("cgsnapshot_id", 36),
    text("source_cgid", 36),
    text("cluster_name", 255),
)

cgsnapshots = sa.Table(
    "cgsnapshots",
    metadata,
    *soft(),
    text("id", 36, primary=True),
    text("consistencygroup_id", 36, required=True, refers="consistencygroups.id"),
    text("user_id", 255),
    text("project_id", 255),
    text("name", 255),
    text("description", 255),
    text("status", 255),
    sa.Index("ix_cgsnapshots_consistencygroup_id", "consistencygroup_id"),
)

groups = sa.Table(
    "groups",
    metadata,
    *soft(),
    text("id", 36, primary=True),
    text("user_id", 255),
    text("project_id", 255),
    text("cluster_name", 255),
    text("host", 255),
    text("availability_zone", 255),
    text("name", 255),
    text("description", 255),
    text("group_type_id", 36),
    text("status", 255),
    text("group_snapshot_id", 36),
    text("source_group_id", 36),
    text("replication_status", 255),
    sa.Index("groups_deleted_project_id_idx", "deleted", "project_id"),
)

group_snapshots = sa.Table(
    "group_snapshots",
    metadata,
    *soft(),
    text("id", 36, primary=True),
    text("group_id", 36, required=True, refers="groups.id"),
    text("user_id", 255),
    text("project_id", 255),
    text("name", 255),
    text("description", 255),
    text("status", 255),
    text("group_type_id", 36),
    sa.Index("ix_group_snapshots_group_id", "group_id"),
    sa.Index("group_snapshots_deleted_project_id_idx", "deleted", "project_id"),
)

group_volume_type_mapping = sa.Table(
    "group_volume_type_mapping",
    metadata,
    *soft(),
    key(),
    text("volume_type_id", 36, required=True, refers="volume_types.id"),
    text("group_id", 36, required=True, refers="groups.id"),
    sa.Index("ix_group_volume_type_mapping_volume_type_id", "volume_type_id"),
    sa.Index("ix_group_volume_type_mapping_group_id", "group_id"),
)

group_types = sa.Table(
    "group_types",
    metadata,
    *soft(),
    text("id", 36, primary=True),
    text("name", 255, required=True),
    text("description", 255),
    flag("is_public"),
)

group_type_specs = sa.Table(
    "group_type_specs",
    metadata,
    *soft(),
    key(),
    text("key", 255),
    text("value", 255),
    text("group_type_id", 36, required=True, refers="group_types.id"),
    sa.Index("ix_group_type_specs_group_type_id", "group_type_id"),
)

group_type_projects = sa.Table(
    "group_type_projects",
    metadata,
    *soft(),
    key(),
    text("group_type_id", 36, refers="group_types.id"),
    text("project_id", 255),
    sa.UniqueConstraint("group_type_id", "project_id", "deleted"),
)
