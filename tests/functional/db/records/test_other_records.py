# SPDX-License-Identifier: Apache-2.0
"""The same rules on MariaDB and PostgreSQL."""

from tests.unit.db.records.test_other_records import *  # noqa: F403
