# SPDX-License-Identifier: Apache-2.0
"""The documents and the code say the same."""
