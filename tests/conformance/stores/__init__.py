# SPDX-License-Identifier: Apache-2.0
"""Backup drivers under test, ours and others."""
