# SPDX-License-Identifier: Apache-2.0
"""Services and scenario of ``holdfast demo``."""
