# SPDX-License-Identifier: Apache-2.0
"""Volumes in which an image service keeps images."""
