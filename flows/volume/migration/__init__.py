# SPDX-License-Identifier: Apache-2.0
"""Volumes that change their backend or type."""
