# SPDX-License-Identifier: Apache-2.0
"""Hosts of one cluster over one bus, one database and one server of locks."""
