# SPDX-License-Identifier: Apache-2.0
"""Random operations and kills, against a model of the required state."""
