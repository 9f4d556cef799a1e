# SPDX-License-Identifier: Apache-2.0
"""Slots of a journal on a database server: owners, leases, adoption (spec/cluster)."""
