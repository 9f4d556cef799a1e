# SPDX-License-Identifier: Apache-2.0
"""Notifications: their payloads and their queue."""
