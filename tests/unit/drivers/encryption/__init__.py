# SPDX-License-Identifier: Apache-2.0
"""Exports of volumes over the network."""
