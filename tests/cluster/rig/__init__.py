# SPDX-License-Identifier: Apache-2.0
"""Hosts as network namespaces, and the servers between them."""
