# SPDX-License-Identifier: Apache-2.0
"""The database: Cinder's tables, and queries on them."""
