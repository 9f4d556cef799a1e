# SPDX-License-Identifier: Apache-2.0
"""Common parts of encryption: the service that keeps keys, as drivers and the worker ask it."""
