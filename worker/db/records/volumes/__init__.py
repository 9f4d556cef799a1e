# SPDX-License-Identifier: Apache-2.0
"""Rows of volumes, snapshots and attachments."""
