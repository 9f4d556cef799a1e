# SPDX-License-Identifier: Apache-2.0
"""Ownership of slots in a journal that hosts share: lease, adoption (spec/cluster)."""
