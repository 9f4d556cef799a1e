# SPDX-License-Identifier: Apache-2.0
"""The axes of the campaign: each is one kind of fault."""
