# SPDX-License-Identifier: Apache-2.0
"""Everything around a flow, as plain objects in memory."""
