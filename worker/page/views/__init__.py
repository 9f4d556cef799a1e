# SPDX-License-Identifier: Apache-2.0
"""The content of the pages, read from journal, database and snapshots."""
