# SPDX-License-Identifier: Apache-2.0
"""Cinder's volume drivers below the worker."""
