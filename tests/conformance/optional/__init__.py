# SPDX-License-Identifier: Apache-2.0
"""Interfaces and methods that a driver need not have."""
