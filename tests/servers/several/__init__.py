# SPDX-License-Identifier: Apache-2.0
"""Servers of several nodes, lock servers, and a network of namespaces between them all."""
