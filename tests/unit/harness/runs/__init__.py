# SPDX-License-Identifier: Apache-2.0
"""Runs of the tests: their collection, and their remains."""
