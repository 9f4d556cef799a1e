# SPDX-License-Identifier: Apache-2.0
"""Attacks by images: their data, their records, and the server that has them."""
