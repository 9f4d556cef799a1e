# SPDX-License-Identifier: Apache-2.0
"""Journals that another hand has written."""
