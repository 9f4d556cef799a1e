# SPDX-License-Identifier: Apache-2.0
"""Outages of the message bus."""
