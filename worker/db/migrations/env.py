# SPDX-License-Identifier: Apache-2.0
"""How alembic runs our migrations: on the connection that it is handed."""

from __future__ import annotations

from alembic import context

from worker.db import models
from worker.db.sync import VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=models.metadata,
    version_table=VERSION_TABLE,
)
with context.begin_transaction():
    context.run_migrations()
