# SPDX-License-Identifier: Apache-2.0
"""Backups as images and snapshots of a Ceph cluster, interchangeable with Cinder's driver."""
