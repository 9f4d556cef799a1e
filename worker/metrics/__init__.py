# SPDX-License-Identifier: Apache-2.0
"""Signs of life and outages of one process, kept in memory for those that monitor it."""
