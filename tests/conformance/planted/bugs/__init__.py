# SPDX-License-Identifier: Apache-2.0
"""The planted bugs: one table for each part of the contract."""
