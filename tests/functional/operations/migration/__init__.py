# SPDX-License-Identifier: Apache-2.0
"""Volumes that move to another backend or type."""
