# SPDX-License-Identifier: Apache-2.0
"""Backup drivers of Cinder's through the adapter."""
