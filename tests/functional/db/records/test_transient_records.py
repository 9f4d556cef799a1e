# SPDX-License-Identifier: Apache-2.0
"""The same numbers on MariaDB and PostgreSQL."""

from tests.unit.db.records.test_transient_records import *  # noqa: F403
