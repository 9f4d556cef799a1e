# SPDX-License-Identifier: Apache-2.0
"""Further checks of the remains of operations."""
