# SPDX-License-Identifier: Apache-2.0
"""Imported records of backups, and rows of the database, that name objects that are not theirs."""
