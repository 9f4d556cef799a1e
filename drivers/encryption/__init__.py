# SPDX-License-Identifier: Apache-2.0
"""Encryption: the service that keeps keys, as drivers and the worker ask it; data of LUKS."""
