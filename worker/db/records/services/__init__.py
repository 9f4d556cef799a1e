# SPDX-License-Identifier: Apache-2.0
"""Rows of services, clusters and work in progress."""
