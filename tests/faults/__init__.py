# SPDX-License-Identifier: Apache-2.0
"""Kill, cut, fill up, corrupt: whatever happens, nothing is lost and nothing stays stuck."""
