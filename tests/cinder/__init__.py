# SPDX-License-Identifier: Apache-2.0
"""Cinder reads what the worker writes, and the other way round: ``tox -e cinder``."""
