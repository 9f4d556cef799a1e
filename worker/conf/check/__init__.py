# SPDX-License-Identifier: Apache-2.0
"""Checks of configuration files before a start."""
