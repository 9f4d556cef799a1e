# SPDX-License-Identifier: Apache-2.0
"""Service processes: build all parts in order, run, stop."""
