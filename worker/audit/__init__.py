# SPDX-License-Identifier: Apache-2.0
"""Compare the database with the backends, the journal, the locks and the stores of backups."""
