# SPDX-License-Identifier: Apache-2.0
"""Notifications of operations, sent from a bounded queue."""
