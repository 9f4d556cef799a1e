# SPDX-License-Identifier: Apache-2.0
"""Rows of groups and of their snapshots."""
