# SPDX-License-Identifier: Apache-2.0
"""Optional methods of drivers whose volumes are files, one module per part of the interface."""
