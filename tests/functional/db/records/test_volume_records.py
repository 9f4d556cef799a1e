# SPDX-License-Identifier: Apache-2.0
"""The same rules on MariaDB and PostgreSQL."""

from tests.unit.db.records.test_volume_records import *  # noqa: F403
