# SPDX-License-Identifier: Apache-2.0
"""Entries of the journal as they are read: an entry may hold anything."""
