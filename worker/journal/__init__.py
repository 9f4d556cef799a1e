# SPDX-License-Identifier: Apache-2.0
"""The journal of accepted operations, on taskflow's persistence tables."""
