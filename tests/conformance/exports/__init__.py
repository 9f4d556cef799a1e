# SPDX-License-Identifier: Apache-2.0
"""Export drivers under test, ours and others."""
