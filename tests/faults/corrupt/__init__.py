# SPDX-License-Identifier: Apache-2.0
"""Backups that rot: no spoilt object is ever restored in silence."""
