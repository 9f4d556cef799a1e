# SPDX-License-Identifier: Apache-2.0
"""The records, drivers and services that flows use, as protocols.

The worker implements them; tests implement them with plain objects.
"""
