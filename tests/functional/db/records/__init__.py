# SPDX-License-Identifier: Apache-2.0
"""The unit tests of the records, on MariaDB and PostgreSQL."""
