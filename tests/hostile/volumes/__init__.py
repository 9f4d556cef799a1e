# SPDX-License-Identifier: Apache-2.0
"""Devices that are full of another tenant's old data."""
