# SPDX-License-Identifier: Apache-2.0
"""Volume drivers."""
