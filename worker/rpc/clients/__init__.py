# SPDX-License-Identifier: Apache-2.0
"""Clients of other services on the bus."""
