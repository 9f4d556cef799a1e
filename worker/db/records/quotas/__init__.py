# SPDX-License-Identifier: Apache-2.0
"""Quota limits, usages and reservations."""
