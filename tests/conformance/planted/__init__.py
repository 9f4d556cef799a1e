# SPDX-License-Identifier: Apache-2.0
"""Planted bugs: a measure of the suite; no part of the wheel."""
