# SPDX-License-Identifier: Apache-2.0
"""The service: bus, database, operator."""
