# SPDX-License-Identifier: Apache-2.0
"""Cinder's tables: their names, columns and keys (spec/schema)."""
