# SPDX-License-Identifier: Apache-2.0
"""Backends without local paths."""
