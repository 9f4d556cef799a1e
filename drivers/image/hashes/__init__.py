# SPDX-License-Identifier: Apache-2.0
"""Hashes of the data of images."""
