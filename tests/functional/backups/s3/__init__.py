# SPDX-License-Identifier: Apache-2.0
"""Backups in an object store that speaks S3."""
