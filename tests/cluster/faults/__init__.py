# SPDX-License-Identifier: Apache-2.0
"""Faults of hosts and servers, their plan, and the campaign."""
