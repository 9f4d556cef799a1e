# SPDX-License-Identifier: Apache-2.0
"""Drivers of backends: volume, backup, image and export, behind their interfaces."""
