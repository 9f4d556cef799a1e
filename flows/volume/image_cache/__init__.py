# SPDX-License-Identifier: Apache-2.0
"""Image-volume cache: one volume per image and pool, from which others are cloned."""
