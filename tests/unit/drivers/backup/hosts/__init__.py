# SPDX-License-Identifier: Apache-2.0
"""Hosts that share one store of backups."""
