# SPDX-License-Identifier: Apache-2.0
"""Checks of the data of images while it is read: hashes, signatures, and their certificates."""
