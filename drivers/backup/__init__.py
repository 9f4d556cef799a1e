# SPDX-License-Identifier: Apache-2.0
"""Stores that keep backups of volumes."""
