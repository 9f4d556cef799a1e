# SPDX-License-Identifier: Apache-2.0
"""Consistency groups and generic groups, through the bus."""
