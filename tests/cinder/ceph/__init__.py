# SPDX-License-Identifier: Apache-2.0
"""Ceph with Cinder's drivers beside ours."""
