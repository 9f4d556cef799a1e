# SPDX-License-Identifier: Apache-2.0
"""Checks of the history, the rows, the journal and the ledger against each other."""
