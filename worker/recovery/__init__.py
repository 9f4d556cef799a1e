# SPDX-License-Identifier: Apache-2.0
"""Transient statuses that no running operation will end."""
