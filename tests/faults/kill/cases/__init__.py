# SPDX-License-Identifier: Apache-2.0
"""The operations of the campaign, and the rows that they need."""
