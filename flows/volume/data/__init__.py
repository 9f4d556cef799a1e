# SPDX-License-Identifier: Apache-2.0
"""Data of volumes: copies, images, temporary objects, backup sources."""
