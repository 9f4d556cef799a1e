# SPDX-License-Identifier: Apache-2.0
"""Commands about services on several hosts."""
