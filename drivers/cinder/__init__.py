# SPDX-License-Identifier: Apache-2.0
"""Drivers of an installed Cinder, behind our contract; nothing of Cinder is loaded before one is.

``loading`` is the way in, and imports nothing of Cinder. Everything else here does.
"""
