# SPDX-License-Identifier: Apache-2.0
"""The load that benchmarks put on a service, and the drivers below it."""
