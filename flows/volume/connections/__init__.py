# SPDX-License-Identifier: Apache-2.0
"""Connections to volumes, and attachments of them."""
