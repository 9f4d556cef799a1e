# SPDX-License-Identifier: Apache-2.0
"""What the service rests on goes away, comes back, or lies."""
