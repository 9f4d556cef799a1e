# SPDX-License-Identifier: Apache-2.0
"""Defer SQLAlchemy's dialect of PostgreSQL: import this before taskflow.

taskflow's tables use its type of JSON, whichever the database is; the dialect and its five
drivers take 2 MiB of each process. A connection to PostgreSQL loads them.
"""

from worker.compat.deferred.deferral import defer

defer("sqlalchemy.dialects.postgresql", ready={"JSON": "json"})
