# SPDX-License-Identifier: Apache-2.0
"""Chains of backups: damage, retention and schedules."""
