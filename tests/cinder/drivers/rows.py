# SPDX-License-Identifier: Apache-2.0
"""Rows of every kind that Cinder's objects are made of, all related to one volume."""

from __future__ import annotations

import datetime
from typing import Any

import sqlalchemy as sa

from worker.db.sync import DEFAULT_TYPE

TYPE, VOLUME, SNAPSHOT, GROUP, GROUP_SNAPSHOT, OLD_GROUP, OLD_SNAPSHOT = (
    f"{digit * 8}-1111-2222-3333-444444444444" for digit in "abcdef1"
)
ATTACHMENT, QOS, BACKUP, PARENT, GROUP_TYPE, SERVER = (
    f"{digit * 8}-1111-2222-3333-444444444444" for digit in "234567"
)

_OWNED = {"user_id": "u", "project_id": "p", "status": "available"}
_MADE = datetime.datetime(2026, 1, 2, 3, 4, 5)

_ROWS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("quality_of_service_specs", {"id": QOS, "key": "QoS_Specs_Name", "value": "fast"}),
    ("quality_of_service_specs", {"id": "c", "specs_id": QOS, "key": "consumer", "value": "both"}),
    ("quality_of_service_specs", {"id": "i", "specs_id": QOS, "key": "iops", "value": "7"}),
    ("volume_types", {"id": TYPE, "name": "gold", "qos_specs_id": QOS, "is_public": True}),
    ("volume_type_projects", {"id": 1, "volume_type_id": TYPE, "project_id": "p"}),
    ("volume_type_extra_specs", {"volume_type_id": TYPE, "key": "a", "value": "<is> True"}),
    ("group_types", {"id": GROUP_TYPE, "name": "together", "is_public": True}),
    ("groups", {"id": GROUP, "group_type_id": GROUP_TYPE, "host": "h@b", "name": "g", **_OWNED}),
    ("group_volume_type_mapping", {"group_id": GROUP, "volume_type_id": TYPE}),
    ("consistencygroups", {"id": OLD_GROUP, "host": "h@b", "volume_type_id": TYPE, **_OWNED}),
    (
        "volumes",
        {**_OWNED, "id": VOLUME, "size": 3, "host": "h@b#p", "attach_status": "attached"}
        | {"status": "in-use", "volume_type_id": TYPE, "use_quota": True, "bootable": True}
        | {"group_id": GROUP, "consistencygroup_id": OLD_GROUP, "provider_location": "there"},
    ),
    ("volume_metadata", {"volume_id": VOLUME, "key": "m", "value": "1"}),
    ("volume_admin_metadata", {"volume_id": VOLUME, "key": "am", "value": "1"}),
    ("volume_glance_metadata", {"volume_id": VOLUME, "key": "gm", "value": "1"}),
    (
        "volume_attachment",
        {"id": ATTACHMENT, "volume_id": VOLUME, "attach_status": "attached", "mountpoint": "/v"}
        | {"connector": '{"host": "h"}', "connection_info": '{"name": "n"}'}
        | {"instance_uuid": SERVER},
    ),
    ("group_snapshots", {"id": GROUP_SNAPSHOT, "group_id": GROUP, **_OWNED}),
    ("cgsnapshots", {"id": OLD_SNAPSHOT, "consistencygroup_id": OLD_GROUP, **_OWNED}),
    (
        "snapshots",
        {**_OWNED, "id": SNAPSHOT, "volume_id": VOLUME, "volume_size": 3, "volume_type_id": TYPE}
        | {"group_snapshot_id": GROUP_SNAPSHOT, "cgsnapshot_id": OLD_SNAPSHOT, "use_quota": True},
    ),
    ("snapshot_metadata", {"snapshot_id": SNAPSHOT, "key": "sm", "value": "1"}),
    ("backups", {**_OWNED, "id": PARENT, "volume_id": VOLUME, "size": 3, "service": "s"}),
    (
        "backups",
        {**_OWNED, "id": BACKUP, "volume_id": VOLUME, "service": "s", "parent_id": PARENT},
    ),
    ("backup_metadata", {"backup_id": BACKUP, "key": "bm", "value": "1"}),
)


def insert(engine: sa.Engine, tables: sa.MetaData) -> None:
    """Insert all rows, in the place of those that a test has changed.

    The default volume type, a row of the migrations, stays: every test of the process uses it.
    """
    with engine.begin() as connection:
        for name in {name for name, _ in _ROWS}:
            old = sa.delete(tables.tables[name])
            if name == "volume_types":
                old = old.where(tables.tables[name].c.name != DEFAULT_TYPE)
            connection.execute(old)
        for name, columns in _ROWS:
            table = tables.tables[name]
            # Tables that were made late count deletions by the id.
            kept = False if isinstance(table.c.deleted.type, sa.Boolean) else 0
            made = {"created_at": _MADE} if "created_at" in table.c else {}
            connection.execute(sa.insert(table).values({**made, "deleted": kept, **columns}))
