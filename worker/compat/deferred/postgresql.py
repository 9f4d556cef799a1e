# SPDX-License-Identifier: Apache-2.0
"""Defer SQLAlchemy's dialect of PostgreSQL: import this before taskflow.

taskflow's tables use its type of JSON, whichever the database is; the dialect and its five
drivers take 2 MiB of each process. A connection to PostgreSQL loads them.
"""

from __future__ import annotations

import importlib

from worker.compat.deferred.deferral import defer

DIALECT = "sqlalchemy.dialects.postgresql"

if (package := defer(DIALECT)) is not None:
    vars(package)["JSON"] = importlib.import_module(f"{DIALECT}.json").JSON
