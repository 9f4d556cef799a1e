# SPDX-License-Identifier: Apache-2.0
"""The tables as Cinder 29.0.0 has them."""

from alembic import op

from worker.db import models

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the tables; this first step is the tables as they are described today."""
    models.metadata.create_all(op.get_bind())


def downgrade() -> None:
    """Drop them all."""
    models.metadata.drop_all(op.get_bind())
