# SPDX-License-Identifier: Apache-2.0
"""Pools of threads for operations, and the order in which operations get a thread."""
