# SPDX-License-Identifier: Apache-2.0
"""Flows that create a volume."""
