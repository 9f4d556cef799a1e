# SPDX-License-Identifier: Apache-2.0
"""Messages that are no operation, and how they become one after all."""
