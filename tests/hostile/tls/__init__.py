# SPDX-License-Identifier: Apache-2.0
"""Servers with wrong certificates, in front of each client of the services."""
