# SPDX-License-Identifier: Apache-2.0
"""Implementations of the protocols that flows are given."""
