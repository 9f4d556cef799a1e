# SPDX-License-Identifier: Apache-2.0
"""Table of the slots, and the clock by which their leases expire (spec/cluster §2).

The clock is the database server's, so that the clocks of the hosts do not matter. Times are
microseconds since 1970, which all servers compare and add in the same way.
"""

from __future__ import annotations

import sqlalchemy as sa

METADATA = sa.MetaData()

SLOTS = sa.Table(
    "holdfast_slots",
    METADATA,
    sa.Column("slot", sa.String(255), primary_key=True),
    sa.Column("pool", sa.String(255), nullable=False, index=True),
    sa.Column("host", sa.String(255), nullable=False),
    sa.Column("owner", sa.String(64)),
    sa.Column("instance", sa.String(128)),
    sa.Column("epoch", sa.BigInteger, nullable=False),
    sa.Column("writes", sa.BigInteger, nullable=False),
    sa.Column("armed", sa.Boolean, nullable=False),
    sa.Column("orphaned", sa.Boolean, nullable=False),
    sa.Column("expires_at", sa.BigInteger, nullable=False),
    sa.Column("renewed_at", sa.BigInteger, nullable=False),
    sa.Column("node", sa.String(255)),
    sa.Column("pid", sa.Integer),
    sa.Column("adopted_by", sa.String(255)),
)
"""One row per slot.

=============  ==================================================================
column         meaning
=============  ==================================================================
pool           the slots whose processes adopt each other's operations
host           the service's name in Cinder's database
owner          unique to one life of a process; NULL: the slot is free
instance       the state path on a booted machine, whose file lock proves a death
epoch          rises with each change of the owner
writes         rises with each transaction of the owner: the fence
armed          the owner is killed by its kernel before the lease can be taken
orphaned       the slot is free and has unfinished operations
adopted_by     the slot whose process took its operations last
=============  ==================================================================
"""

_CLOCKS = {
    "postgresql": "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)",
    "mysql": "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))",
    "sqlite": "CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)",
}
_CLOCKS["mariadb"] = _CLOCKS["mysql"]

SECOND = 1_000_000
"""Units of the columns with times."""


def clock_of(engine: sa.Engine) -> sa.ColumnElement[int]:
    """Return the expression of the server's clock; PostgreSQL's now() would be older."""
    return sa.literal_column(_CLOCKS[engine.dialect.name], sa.BigInteger())
