# SPDX-License-Identifier: Apache-2.0
"""Backup drivers of an installed Cinder, behind our contract."""
