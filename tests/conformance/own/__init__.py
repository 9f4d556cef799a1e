# SPDX-License-Identifier: Apache-2.0
"""The drivers of this repository under the suite; no part of the wheel."""
