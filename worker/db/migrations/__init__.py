# SPDX-License-Identifier: Apache-2.0
"""Steps that make and change the tables of a standalone database."""
