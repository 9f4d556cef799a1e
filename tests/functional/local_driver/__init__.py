# SPDX-License-Identifier: Apache-2.0
"""Data of the local driver: images, consistency, migration."""
