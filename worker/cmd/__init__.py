# SPDX-License-Identifier: Apache-2.0
"""Programs: one main() each."""
