# SPDX-License-Identifier: Apache-2.0
"""The contracts: all that a driver author needs to read."""
